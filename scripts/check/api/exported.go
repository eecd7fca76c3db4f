package main

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// exported returns what a package exports: one sorted line for each constant, variable, function, type, field and
// method.
func exported(pkg *types.Package) []string {
	p := printer{pkg}
	var lines []string
	for _, name := range pkg.Scope().Names() {
		object := pkg.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		switch object := object.(type) {
		case *types.Const:
			lines = append(lines, fmt.Sprintf("const %s %s = %s", name, p.name(object.Type()), object.Val().ExactString()))
		case *types.Var:
			lines = append(lines, fmt.Sprintf("var %s %s", name, p.name(object.Type())))
		case *types.Func:
			lines = append(lines, "func "+name+p.signature(object.Signature()))
		case *types.TypeName:
			lines = append(lines, p.typeLines(object)...)
		}
	}
	slices.Sort(lines)
	return lines
}

// printer writes types as a reader of the package would: its own without a package name.
type printer struct{ pkg *types.Package }

func (p printer) qualify(other *types.Package) string {
	if other == p.pkg {
		return ""
	}
	return other.Name()
}

func (p printer) name(t types.Type) string {
	if s, ok := t.(*types.Signature); ok {
		return "func" + p.signature(s)
	}
	return types.TypeString(t, p.qualify)
}

// signature prints type parameters, parameters without their names, and results.
func (p printer) signature(s *types.Signature) string {
	bare := types.NewSignatureType(nil, nil, nil, unnamed(s.Params()), unnamed(s.Results()), s.Variadic())
	text := strings.TrimPrefix(types.TypeString(bare, p.qualify), "func")
	return p.typeParams(s.TypeParams()) + text
}

func unnamed(t *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for v := range t.Variables() {
		vars = append(vars, types.NewParam(v.Pos(), v.Pkg(), "", v.Type()))
	}
	return types.NewTuple(vars...)
}

func (p printer) typeParams(list *types.TypeParamList) string {
	var params []string
	for t := range list.TypeParams() {
		params = append(params, t.Obj().Name()+" "+p.name(t.Constraint()))
	}
	if len(params) == 0 {
		return ""
	}
	return "[" + strings.Join(params, ", ") + "]"
}

// typeLines returns the line of a type and one for each of its exported fields and methods.
func (p printer) typeLines(object *types.TypeName) []string {
	if object.IsAlias() {
		return []string{fmt.Sprintf("type %s = %s", object.Name(), p.name(types.Unalias(object.Type())))}
	}
	named := object.Type().(*types.Named)
	head := object.Name() + p.typeParams(named.TypeParams())
	var lines []string
	switch under := named.Underlying().(type) {
	case *types.Struct:
		lines = append(lines, "type "+head+" struct")
		for field := range under.Fields() {
			if field.Exported() {
				lines = append(lines, p.fieldLine(object.Name(), field))
			}
		}
	case *types.Interface:
		lines = append(lines, p.interfaceLines(head, under)...)
	default:
		lines = append(lines, "type "+head+" "+p.name(under))
	}
	for method := range named.Methods() {
		if method.Exported() {
			lines = append(lines, p.methodLine(object.Name(), method))
		}
	}
	return lines
}

func (p printer) fieldLine(owner string, field *types.Var) string {
	if field.Embedded() {
		return fmt.Sprintf("type %s struct, embeds %s", owner, p.name(field.Type()))
	}
	return fmt.Sprintf("type %s struct, %s %s", owner, field.Name(), p.name(field.Type()))
}

// interfaceLines includes the methods of embedded interfaces, and says when nobody else can implement it.
func (p printer) interfaceLines(head string, i *types.Interface) []string {
	lines := []string{"type " + head + " interface"}
	if !i.IsMethodSet() {
		return []string{"type " + head + " " + p.name(i)}
	}
	for method := range i.Methods() {
		if method.Exported() {
			lines = append(lines, fmt.Sprintf("type %s interface, %s%s", head, method.Name(), p.signature(method.Signature())))
		} else {
			lines[0] = "type " + head + " interface, with methods that are not exported"
		}
	}
	return lines
}

func (p printer) methodLine(owner string, method *types.Func) string {
	receiver := owner
	if _, pointer := method.Signature().Recv().Type().(*types.Pointer); pointer {
		receiver = "*" + owner
	}
	return fmt.Sprintf("method (%s) %s%s", receiver, method.Name(), p.signature(method.Signature()))
}

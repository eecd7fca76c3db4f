package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// stage is what a Dockerfile does from one FROM to the next.
type stage struct {
	base, name string
	steps      []instruction
}

type instruction struct {
	verb  string
	flags map[string]string // --name=value
	args  []string          // words, or the elements of a JSON array
	text  string            // all behind verb and flags
}

// verbs are the instructions that buildImage knows.
var verbs = []string{"FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}

func parseDockerfile(text string) ([]stage, error) {
	var stages []stage
	for number, line := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		step, err := parseInstruction(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		switch {
		case step.verb == "FROM":
			s := stage{base: step.args[0]}
			if len(step.args) == 3 && strings.EqualFold(step.args[1], "AS") {
				s.name = step.args[2]
			}
			stages = append(stages, s)
		case len(stages) == 0:
			return nil, fmt.Errorf("line %d: %s before FROM", number+1, step.verb)
		default:
			last := &stages[len(stages)-1]
			last.steps = append(last.steps, step)
		}
	}
	if len(stages) == 0 {
		return nil, fmt.Errorf("no FROM")
	}
	return stages, nil
}

func parseInstruction(line string) (instruction, error) {
	verb, text, _ := strings.Cut(line, " ")
	step := instruction{verb: strings.ToUpper(verb), flags: map[string]string{}}
	if !slices.Contains(verbs, step.verb) {
		return step, fmt.Errorf("unknown instruction %s", verb)
	}
	for text = strings.TrimSpace(text); step.verb != "RUN" && strings.HasPrefix(text, "--"); text = strings.TrimSpace(text) {
		var flag string
		flag, text, _ = strings.Cut(text, " ")
		name, value, _ := strings.Cut(flag, "=")
		step.flags[name] = value
	}
	step.text = text
	if strings.HasPrefix(text, "[") {
		if err := json.Unmarshal([]byte(text), &step.args); err != nil {
			return step, fmt.Errorf("%s: %w", step.verb, err)
		}
	} else {
		step.args = strings.Fields(text)
	}
	if len(step.args) == 0 {
		return step, fmt.Errorf("%s of nothing", step.verb)
	}
	return step, nil
}

func TestParseDockerfile(t *testing.T) {
	t.Parallel()
	stages, err := parseDockerfile("# a\nFROM x AS y\nRUN a \\\n  --b\n\nfrom scratch\nCOPY --from=y --chown=1:2 /a /b\nCMD [\"a b\", \"c\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(stages)
	const want = "[{x y [{RUN map[] [a --b] a    --b}]} {scratch  [{COPY map[--chown:1:2 --from:y] [/a /b] /a /b} {CMD map[] [a b c] [\"a b\", \"c\"]}]}]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, bad := range []string{"", "RUN a", "FROM x\nADDD a b", "FROM x\nCMD [a", "FROM x\nRUN"} {
		if _, err := parseDockerfile(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestDockerfileIgnoresNothingThatItNeeds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("Dockerfile.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	ignored := ignoredNames(string(text))
	for _, c := range []struct {
		name string
		want bool
	}{{".git", true}, {".tools", true}, {"data", true}, {"go.mod", false}, {"reports", false}, {"bucket", false}} {
		if got := ignored(c.name); got != c.want {
			t.Errorf("%s is ignored: %v, want %v", c.name, got, c.want)
		}
	}
}

package tenants_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/timeblob/timeblob/reports/tenants"
)

func ExampleParse() {
	table, err := tenants.Parse(strings.NewReader("acme token=4Zk1gYQ0bVb1xN7p rate=200\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	caller, known := table.Caller("4Zk1gYQ0bVb1xN7p")
	fmt.Println(caller.Tenant, known, table.Limits("acme").Rate)
	_, err = tenants.Parse(strings.NewReader("acme 4Zk1gYQ0bVb1xN7p\n"))
	fmt.Println(err)
	// Output:
	// acme true 200
	// line 1: field 1 after the name: is not one of token=, basic=, rate=, pending=, size= or inflated=
}

func ExampleOpen() {
	path := filepath.Join(os.TempDir(), fmt.Sprint("tenants-", os.Getpid()))
	defer os.Remove(path)
	if err := os.WriteFile(path, []byte("acme token=4Zk1gYQ0bVb1xN7p\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	file, err := tenants.Open(path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(file.Table().Secured()) // go file.Run(ctx) reads it again when it changes
	// Output: true
}

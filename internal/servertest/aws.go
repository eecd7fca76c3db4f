package servertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The credentials and region that every server of this package takes. The two DynamoDB servers take
// any other as well, and DynamoDB Local keeps separate tables for each pair of key and region.
const (
	AccessKey = "timeblob"
	SecretKey = "timeblob-secret"
	Region    = "us-east-1"
)

// S3 is where and how to reach an S3 server. It wants path-style addresses.
type S3 struct{ Endpoint, AccessKey, SecretKey, Region string }

// DynamoDBLocal starts Amazon's DynamoDB Local, empty and in memory, and returns its URL. It takes
// about 1 s: see SharedDynamoDBLocal. It listens on every address of the machine, because it cannot
// be told otherwise.
func DynamoDBLocal(t testing.TB) (endpoint string, p *Process) {
	t.Helper()
	p = open(t, dynamoDBLocal())
	return "http://" + p.Addr(), p
}

// Dynalite starts dynalite, empty and in memory, and returns its URL. Tables stay in CREATING,
// UPDATING and DELETING for 50 ms, so that callers have to wait for them.
func Dynalite(t testing.TB) (endpoint string, p *Process) {
	t.Helper()
	p = open(t, dynalite())
	return "http://" + p.Addr(), p
}

// VersityGW starts the Versity S3 gateway over an empty temporary directory, which Restart keeps.
func VersityGW(t testing.TB) (S3, *Process) {
	t.Helper()
	p := open(t, versityGW(t.TempDir()))
	return S3{"http://" + p.Addr(), AccessKey, SecretKey, Region}, p
}

// dynamoDBLocal runs the jar with what makes a JVM start fast and leave no file behind.
func dynamoDBLocal() program {
	command := func(port int) ([]string, error) {
		java, err := installed("java")
		if err != nil {
			return nil, err
		}
		jar, err := pinned("dynamodb-local", "DynamoDBLocal.jar")
		return []string{
			java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
			"-XX:ErrorFile=/dev/stderr",
			"-Djava.library.path=" + filepath.Join(filepath.Dir(jar), "DynamoDBLocal_lib"),
			"-jar", jar, "-inMemory", "-port", strconv.Itoa(port),
		}, err
	}
	return program{name: "DynamoDB Local", command: command, answers: listsTables}
}

func dynalite() program {
	command := func(port int) ([]string, error) {
		node, err := installed("node")
		if err != nil {
			return nil, err
		}
		script, err := pinned("npm", "dynalite.js")
		return []string{
			node, script, "--host", "127.0.0.1", "--port", strconv.Itoa(port),
			"--createTableMs", "50", "--updateTableMs", "50", "--deleteTableMs", "50",
		}, err
	}
	return program{name: "dynalite", command: command, answers: listsTables}
}

func versityGW(dir string) program {
	command := func(port int) ([]string, error) {
		path, err := pinned("bin", "versitygw")
		return []string{
			path, "--port", "127.0.0.1:" + strconv.Itoa(port), "--keep-alive",
			"--access", AccessKey, "--secret", SecretKey, "--region", Region, "posix", dir,
		}, err
	}
	return program{name: "versitygw", command: command, answers: listsBuckets}
}

func listsTables(ctx context.Context, address string) error {
	_, err := dynamoCall(ctx, address, "ListTables", "{}")
	return err
}

func listsBuckets(ctx context.Context, address string) error {
	_, err := signedCall(ctx, "s3", http.MethodGet, "http://"+address+"/", nil, nil)
	return err
}

func dynamoCall(ctx context.Context, address, operation, body string) (string, error) {
	header := http.Header{
		"Content-Type": {"application/x-amz-json-1.0"},
		"X-Amz-Target": {"DynamoDB_20120810." + operation},
	}
	return signedCall(ctx, "dynamodb", http.MethodPost, "http://"+address+"/", header, []byte(body))
}

// signedCall makes one request as an SDK would, on a connection of its own, and returns the body of
// the answer; any status but 200 is an error.
func signedCall(ctx context.Context, service, method, url string, header http.Header, body []byte) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if header != nil {
		request.Header = header
	}
	request.Close = true
	if err := sign(ctx, request, service, body); err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, strings.TrimSpace(string(answer)))
	}
	return string(answer), err
}

func sign(ctx context.Context, request *http.Request, service string, body []byte) error {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	request.Header.Set("X-Amz-Content-Sha256", hash) // S3 wants it in a header, too
	credentials := aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}
	return v4.NewSigner().SignHTTP(ctx, credentials, request, hash, service, Region, time.Now())
}

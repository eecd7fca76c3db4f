package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxAnswer is more than S3 answers to a list or a deletion of a thousand keys.
const maxAnswer = 16 << 20

// answersWith returns the option of an operation whose answers are XML with a root
// element. The SDK takes an empty answer, or a proxy's page, for an empty result.
func answersWith(root string) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(slices.Clip(o.APIOptions), func(stack *middleware.Stack) error {
			return stack.Deserialize.Add(expectation{[]byte("<" + root)}, middleware.After)
		})
	}
}

// expectation is middleware that lets only answers with an element through to the SDK.
type expectation struct{ element []byte }

// ID names the middleware in the SDK's stack.
func (expectation) ID() string { return "timeblob:expectation" }

// HandleDeserialize reads the answer's body.
func (e expectation) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	out, metadata, err = next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || response.StatusCode != http.StatusOK {
		return out, metadata, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	err = errors.Join(err, response.Body.Close())
	response.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case err != nil:
		err = &passing{fmt.Errorf("after %d bytes of the answer: %w", len(body), err)}
	case !bytes.Contains(body, e.element):
		err = &passing{fmt.Errorf("the answer has status 200 and no element %s, so it is not the answer of an S3 server", e.element[1:])}
	}
	return out, metadata, err
}

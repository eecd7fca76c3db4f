package dynamoindex

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
)

// levelPrefix begins the hour of a place. Frozen.
const levelPrefix = reserved + "level/"

// What a swap asks of the place.
const (
	isEmptyPlace = "attribute_not_exists(#id) OR #expires BETWEEN :one AND :now"
	isOldPlace   = "#id = :old AND NOT #expires BETWEEN :one AND :now"
	isLivePlace  = "attribute_exists(#id) AND NOT #expires BETWEEN :one AND :now"
)

// hourOf returns the attribute hour of a set's places. Frozen.
func hourOf(set index.PlaceSet) string {
	return levelPrefix + strconv.FormatInt(int64(set.Level), 10) + "/" + set.Tenant
}

// placeItem returns the item of a place. A place that does not expire has an
// expires of 0, for versions that do not know places; see the package comment.
func placeItem(set index.PlaceSet, p index.Place) item {
	i := item{
		attrHour: text(hourOf(set)), attrTime: number(p.Start),
		attrID: text(p.ID), attrExpires: number(p.Expires),
	}
	if len(p.State) > 0 {
		i[attrState] = binaryOf(p.State)
	}
	return i
}

// Places implements index.Places. It costs a request for each MB of the places
// in the range, at least one, and a read unit for each 4 kB.
func (x *Index) Places(ctx context.Context, set index.PlaceSet, from, to int64) ([]index.Place, error) {
	if err := errors.Join(ctx.Err(), checkTenant(set.Tenant)); err != nil {
		return nil, err
	}
	if from >= to {
		return nil, nil
	}
	if err := x.checkWhole(ctx); err != nil {
		return nil, err
	}
	var found []index.Place
	for page, err := range x.pages(ctx, x.placesOf(set, from, to)) {
		if err != nil {
			return nil, err
		}
		for _, i := range page {
			p, err := placeOf(i)
			if err = errors.Join(mustBeOf(hourOf(set), i), err); err != nil {
				return nil, fmt.Errorf("item of %q: %w", hourOf(set), err)
			}
			if !p.Gone(x.opts.Now()) {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// placesOf returns the question for the first page of a set's places.
func (x *Index) placesOf(set index.PlaceSet, from, to int64) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName:                &x.table,
		KeyConditionExpression:   aws.String(keyCondition),
		ProjectionExpression:     aws.String("#hour, #ts, #id, #state, #expires"),
		ExpressionAttributeNames: names(attrHour, attrTime, attrID, attrState, attrExpires),
		ExpressionAttributeValues: item{
			":hour": text(hourOf(set)), ":first": number(from), ":last": number(to - 1),
		},
		ConsistentRead:         aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}
}

func placeOf(i item) (index.Place, error) {
	start, err := timeOf(i)
	if err != nil {
		return index.Place{}, err
	}
	id, ok := i[attrID].(*types.AttributeValueMemberS)
	if !ok || id.Value == "" {
		return index.Place{}, fmt.Errorf("instant %d: its attribute %q is %s, want the id of a place",
			start, attrID, kind(i[attrID]))
	}
	p := index.Place{Start: start, ID: id.Value, Expires: intOf(i[attrExpires])}
	if state, ok := i[attrState].(*types.AttributeValueMemberB); ok {
		p.State = state.Value
	}
	return p, nil
}

// SwapPlace implements index.Places. It costs a write unit for each kB of the
// state, and a read unit more when the place has changed and the server is
// older than 2023.
func (x *Index) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (bool, error) {
	if err := errors.Join(ctx.Err(), checkTenant(set.Tenant)); err != nil {
		return false, err
	}
	if next.ID == "" {
		return false, errors.New("the id of a place must not be empty")
	}
	if err := x.checkWhole(ctx); err != nil {
		return false, err
	}
	in := &dynamodb.PutItemInput{
		TableName:                           &x.table,
		Item:                                placeItem(set, next),
		ConditionExpression:                 aws.String(isEmptyPlace),
		ExpressionAttributeNames:            names(attrID, attrExpires),
		ExpressionAttributeValues:           item{":one": number(1), ":now": number(x.opts.Now().Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	}
	if old != "" {
		in.ConditionExpression = aws.String(isOldPlace)
		in.ExpressionAttributeValues[":old"] = text(old)
	}
	_, err := x.db.PutItem(ctx, in)
	if changed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return x.swapped(ctx, in.Item, changed.Item)
	}
	return err == nil, err
}

// swapped reports whether the place holds my write after all, made by an
// attempt whose answer was lost. The item there is empty when the server sent
// none with its refusal.
func (x *Index) swapped(ctx context.Context, mine, there item) (bool, error) {
	if len(there) == 0 {
		var err error
		if there, err = x.find(ctx, mine, attrID); err != nil {
			return false, err
		}
	}
	wrote, _ := mine[attrID].(*types.AttributeValueMemberS)
	is, ok := there[attrID].(*types.AttributeValueMemberS)
	return ok && is.Value == wrote.Value, nil
}

// settingsAge is how old the settings may be that a writer past the protocol is
// judged by. Builders start later than that after the settings were written.
const settingsAge = time.Minute

// settings returns the state at index.SettingsSet. It costs a read unit, once a
// minute.
func (x *Index) settings(ctx context.Context) ([]byte, error) {
	if last := x.levels.last.Load(); last != nil && time.Since(last.read) < settingsAge {
		return last.state, nil
	}
	now := time.Now()
	found, err := x.Places(ctx, index.SettingsSet, 0, 1)
	if err != nil {
		return nil, err
	}
	last := &levelSettings{read: now}
	if len(found) > 0 {
		last.state = found[0].State
	}
	x.levels.last.Store(last)
	return last.state, nil
}

// mayPut refuses a late entry of a writer that goes past levels.
func (x *Index) mayPut(ctx context.Context, t int64) error {
	if index.Holds(ctx) {
		return nil
	}
	settings, err := x.settings(ctx)
	if err != nil {
		return err
	}
	return index.CheckPut(ctx, settings, t, x.StoreTime())
}

// mayDelete refuses a deletion of a writer that goes past levels.
func (x *Index) mayDelete(ctx context.Context) error {
	if index.Holds(ctx) {
		return nil
	}
	settings, err := x.settings(ctx)
	if err != nil {
		return err
	}
	return index.CheckDelete(ctx, settings)
}

// StoreTime implements index.Places. The time is up to a second behind, since
// the Date header has whole seconds, and behind by what the last response took
// to arrive.
func (x *Index) StoreTime() time.Time {
	last := x.clock.last.Load()
	if last == nil {
		return time.Time{}
	}
	return last.date.Add(time.Since(last.came))
}

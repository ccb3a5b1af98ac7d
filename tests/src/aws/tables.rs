//! The tables of the stack, read and replaced as a whole.

use serde_json::{Map, Value, json};

use super::Aws;

/// How many items DynamoDB takes in one call.
const AT_ONCE: usize = 25;

/// What an item is found by, in every table that is copied.
const KEY: [&str; 2] = ["pk", "sk"];

impl Aws<'_> {
    /// All items of a table of the stack, in the JSON of DynamoDB.
    pub async fn items(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let mut scan = json!({
                "TableName": self.stack.function_name(table), "ConsistentRead": true,
            });
            if let Some(from) = from {
                scan["ExclusiveStartKey"] = from;
            }
            let mut page = self.dynamodb("Scan", &scan).await;
            if let Some(found) = page["Items"].as_array_mut() {
                items.append(found);
            }
            from = Some(page["LastEvaluatedKey"].take()).filter(|key| !key.is_null());
            if from.is_none() {
                return items;
            }
        }
    }

    /// Makes these items the only ones of a table of the stack.
    pub async fn replace_items(&self, table: &str, items: &[Value]) {
        let there = self.items(table).await;
        let table = self.stack.function_name(table);
        for requests in changes(&there, items).chunks(AT_ONCE) {
            let mut requests = json!({ (&table): requests });
            while requests.as_object().is_some_and(|left| !left.is_empty()) {
                let batch = json!({ "RequestItems": requests });
                let mut answer = self.dynamodb("BatchWriteItem", &batch).await;
                requests = answer["UnprocessedItems"].take();
            }
        }
    }

    async fn dynamodb(&self, action: &str, input: &Value) -> Value {
        let target = format!("DynamoDB_20120810.{action}");
        self.action("dynamodb", &target, "1.0", input).await.json()
    }
}

/// What has to be written so that `wanted` is there instead of `there`.
fn changes(there: &[Value], wanted: &[Value]) -> Vec<Value> {
    let stay: Vec<_> = wanted.iter().map(key).collect();
    let gone = there.iter().map(key).filter(|key| !stay.contains(key));
    let gone = gone.map(|key| json!({ "DeleteRequest": { "Key": key } }));
    let put = wanted.iter().filter(|item| !there.contains(item));
    let put = put.map(|item| json!({ "PutRequest": { "Item": item } }));
    gone.chain(put).collect()
}

fn key(item: &Value) -> Map<String, Value> {
    let names = KEY.into_iter();
    names
        .map(|name| (name.to_owned(), item[name].clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, count: u32) -> Value {
        json!({ "pk": { "S": key }, "sk": { "S": "MARK" }, "count": { "N": count.to_string() } })
    }

    #[test]
    fn a_table_becomes_what_it_was() {
        let there = [item("same", 1), item("changed", 2), item("new", 1)];
        let wanted = [item("same", 1), item("changed", 1), item("gone", 1)];
        let key = json!({ "pk": { "S": "new" }, "sk": { "S": "MARK" } });
        let expected = [
            json!({ "DeleteRequest": { "Key": key } }),
            json!({ "PutRequest": { "Item": item("changed", 1) } }),
            json!({ "PutRequest": { "Item": item("gone", 1) } }),
        ];
        assert_eq!(changes(&there, &wanted), expected);
        assert!(changes(&wanted, &wanted).is_empty());
    }
}

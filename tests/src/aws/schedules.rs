//! What the stack does by the clock.

use serde_json::{Value, json};

use super::Aws;

impl Aws<'_> {
    /// Enables or disables all schedules of the stack. Returns how many there are.
    pub async fn enable_schedules(&self, enabled: bool) -> usize {
        let rules = self.events("ListRules", &json!({ "Limit": 100 })).await;
        let rules = rules["Rules"].as_array().cloned().unwrap_or_default();
        let scheduled = rules
            .iter()
            .filter(|rule| rule["ScheduleExpression"].is_string());
        let action = if enabled { "EnableRule" } else { "DisableRule" };
        let mut many = 0;
        for rule in scheduled {
            let rule = json!({ "Name": rule["Name"] });
            self.action("events", &format!("AWSEvents.{action}"), "1.1", &rule)
                .await;
            many += 1;
        }
        many
    }

    async fn events(&self, action: &str, input: &Value) -> Value {
        let target = format!("AWSEvents.{action}");
        self.action("events", &target, "1.1", input).await.json()
    }
}

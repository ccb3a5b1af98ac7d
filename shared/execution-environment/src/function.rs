//! A function that is a test of the calling program.

use std::{
    env,
    process::{Child, Command, Stdio},
};

use anyhow::Result;

use crate::RuntimeApi;

/// A process of a function. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Function(Child);

impl Function {
    /// Runs an ignored test of this program as a function: a process of its own, as Lambda has it, from a
    /// file that is there.
    ///
    /// # Errors
    /// If it does not start.
    pub fn of_test(
        name: &str,
        runtime_api: &RuntimeApi,
        settings: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self> {
        let function = Command::new(env::current_exe()?)
            .args([name, "--exact", "--ignored", "--nocapture"])
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "test")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/test")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(function))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! What is installed once per version, into a folder that all stacks and all clones of the
//! repository share.

mod dynoxide;
mod folder;
mod jars;
mod java;
mod postgres;
mod python;

pub use self::folder::Cache;
pub use self::java::Java;
pub use self::python::{Environment, PythonEnvironment, python_command};

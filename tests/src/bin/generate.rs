//! Writes anew what is made from the routes: `make generate`, after a change of a route or of a
//! part of the template.

use std::{io::Write as _, path::Path};

fn main() -> anyhow::Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut output = std::io::stdout();
    for path in system_tests::generated::write(&repository)? {
        writeln!(output, "{}", path.display())?;
    }
    Ok(())
}

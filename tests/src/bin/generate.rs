//! `make generate`: regenerates everything that is generated from the routes and the parts of the
//! template.

use std::{io::Write as _, path::Path};

fn main() -> anyhow::Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut output = std::io::stdout();
    for path in system_tests::generated::write(&repository)? {
        writeln!(output, "{}", path.display())?;
    }
    Ok(())
}

//! What the values of enums mean: utoipa leaves out the doc comments of variants, so that they are
//! read from the sources, and listed in the description of the enum.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use syn::{Attribute, Expr, Item, ItemEnum, Lit, Meta, Token, punctuated::Punctuated};
use utoipa::openapi::{Object, OpenApi, RefOr, Schema, path::Operation};

/// Whose values are the codes of a standard, which says what they mean.
const SAID_ELSEWHERE: [&str; 1] = ["Currency"];

/// What each variant means, in their order, by the name of the schema.
type Meanings = BTreeMap<String, Vec<String>>;

/// Adds the meaning of every value to every enum of the document.
///
/// # Errors
/// If a source cannot be read, or says nothing about a value.
pub(super) fn describe(document: &mut OpenApi, repository: &Path) -> Result<()> {
    let mut meanings = Meanings::new();
    for folder in ["functions", "shared"] {
        read_folder(&repository.join(folder), &mut meanings)?;
    }
    let components = document.components.get_or_insert_default();
    let mut described = Vec::new();
    for (name, schema) in &mut components.schemas {
        let RefOr::T(Schema::Object(schema)) = schema else {
            continue;
        };
        if schema.enum_values.is_some() && !SAID_ELSEWHERE.contains(&name.as_str()) {
            let of_schema = meanings.get(name);
            let of_schema = of_schema.with_context(|| format!("no enum is called {name}"))?;
            list(schema, of_schema).with_context(|| format!("the enum {name}"))?;
            described.push(schema.clone());
        }
    }
    // A parameter has a copy of the schema.
    let operations = document.paths.paths.values_mut();
    for operation in operations.flat_map(super::operations) {
        for schema in schemas_of_parameters(operation) {
            let same = |of: &&Object| of.enum_values == schema.enum_values;
            if schema.enum_values.is_some()
                && let Some(known) = described.iter().find(same)
            {
                schema.description.clone_from(&known.description);
            }
        }
    }
    Ok(())
}

fn schemas_of_parameters(operation: &mut Operation) -> impl Iterator<Item = &mut Object> {
    let parameters = operation.parameters.iter_mut().flatten();
    parameters.filter_map(|parameter| {
        let RefOr::T(parameter) = parameter else {
            return None;
        };
        match parameter.schema.as_mut()? {
            RefOr::T(Schema::Object(schema)) => Some(schema),
            _ => None,
        }
    })
}

/// Lists what the values mean below the description.
fn list(schema: &mut Object, meanings: &[String]) -> Result<()> {
    let values = schema.enum_values.iter().flatten();
    let values: Vec<_> = values.filter_map(|value| value.as_str()).collect();
    ensure!(
        values.len() == meanings.len(),
        "has {} values and {} variants",
        values.len(),
        meanings.len()
    );
    let mut description = schema.description.clone().unwrap_or_default();
    description.push('\n');
    for (value, meaning) in values.iter().zip(meanings) {
        ensure!(!meaning.is_empty(), "does not say what {value} means");
        write!(description, "\n- `{value}`: {meaning}")?;
    }
    schema.description = Some(description);
    Ok(())
}

fn read_folder(folder: &Path, meanings: &mut Meanings) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(&path, meanings)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path)?;
            // Most files have none, and need not be parsed.
            if source.contains("ToSchema") && source.contains("enum ") {
                read(&source, meanings).with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(())
}

fn read(source: &str, meanings: &mut Meanings) -> Result<()> {
    let file = syn::parse_file(source)?;
    // One that is described by hand.
    let by_hand = file.items.iter().filter_map(|item| match item {
        Item::Impl(item) => {
            let (_, of, _) = item.trait_.as_ref()?;
            let syn::Type::Path(subject) = &*item.self_ty else {
                return None;
            };
            of.is_ident("ToSchema").then_some(&subject.path)
        }
        _ => None,
    });
    let by_hand: Vec<_> = by_hand.collect();
    for item in &file.items {
        if let Item::Enum(item) = item
            && (derives_a_schema(item)? || by_hand.iter().any(|path| path.is_ident(&item.ident)))
        {
            let of_variants = item.variants.iter();
            let of_variants: Vec<String> = of_variants
                .map(|variant| documentation(&variant.attrs))
                .collect();
            let name = name(item)?;
            let known = meanings.insert(name.clone(), of_variants);
            ensure!(known.is_none(), "two enums have a schema {name}");
        }
    }
    Ok(())
}

fn derives_a_schema(item: &ItemEnum) -> Result<bool> {
    for attribute in attributes(&item.attrs, "derive") {
        let parse = Punctuated::<syn::Path, Token![,]>::parse_terminated;
        let derived = attribute.parse_args_with(parse)?;
        let mut derived = derived.iter();
        if derived.any(|path| {
            path.segments
                .last()
                .is_some_and(|of| of.ident == "ToSchema")
        }) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the schema is called: as the enum, unless an attribute says otherwise.
fn name(item: &ItemEnum) -> Result<String> {
    let mut name = item.ident.to_string();
    for attribute in attributes(&item.attrs, "schema") {
        attribute.parse_nested_meta(|meta| {
            let is_name = meta.path.is_ident("as");
            let value: Expr = meta.value()?.parse()?;
            if let Expr::Path(path) = value
                && is_name
                && let Some(ident) = path.path.get_ident()
            {
                name = ident.to_string();
            }
            Ok(())
        })?;
    }
    Ok(name)
}

/// A doc comment on one line.
fn documentation(attributes_of: &[Attribute]) -> String {
    let lines = attributes(attributes_of, "doc").filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(doc) => match &doc.value {
            Expr::Lit(text) => match &text.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

fn attributes<'a>(
    attributes: &'a [Attribute],
    name: &'a str,
) -> impl Iterator<Item = &'a Attribute> {
    attributes
        .iter()
        .filter(move |attribute| attribute.path().is_ident(name))
}

//! Numbers as JavaScript has them.
//!
//! Clients that are generated from `format: int64` have a `bigint`, or a text, for what is a
//! version or a count of ours, and far below 2^53.

use utoipa::openapi::{
    KnownFormat, RefOr, Schema, SchemaFormat,
    schema::{AdditionalProperties, ArrayItems},
};

/// Leaves out how many bits of ours a number has.
pub(super) fn plain(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            if object.format == Some(SchemaFormat::KnownFormat(KnownFormat::Int64)) {
                object.format = None;
            }
            object.properties.values_mut().for_each(plain);
            if let Some(AdditionalProperties::RefOr(values)) =
                object.additional_properties.as_deref_mut()
            {
                plain(values);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                plain(items);
            }
        }
        Schema::OneOf(one) => one.items.iter_mut().for_each(plain),
        Schema::AllOf(all) => all.items.iter_mut().for_each(plain),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(plain),
        _ => {}
    }
}

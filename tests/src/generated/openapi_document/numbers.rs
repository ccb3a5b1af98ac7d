//! Numbers that suit JavaScript.
//!
//! Clients generated from `format: int64` use `bigint`, or strings, for our versions and counts,
//! which are far below 2^53.

use utoipa::openapi::{
    KnownFormat, RefOr, Schema, SchemaFormat,
    schema::{AdditionalProperties, ArrayItems},
};

/// Removes `format: int64`.
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

//! Read-only arrays.
//!
//! utoipa marks the items of a read-only array instead of the array, so to clients the array is one
//! that they may send, and whose items are checked.

use utoipa::openapi::{
    RefOr, Schema,
    extensions::Extensions,
    schema::{Array, ArrayItems},
};

/// Marks each property whose items are marked, instead of its items.
pub(super) fn whole_arrays(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            for property in object.properties.values_mut() {
                if let RefOr::T(Schema::Array(array)) = property
                    && unmark_items(array)
                {
                    let mark = Extensions::from_iter([("readOnly", true)]);
                    array.extensions.get_or_insert_default().merge(mark);
                }
                whole_arrays(property);
            }
        }
        Schema::AllOf(all) => all.items.iter_mut().for_each(whole_arrays),
        _ => {}
    }
}

/// Whether the items were marked.
fn unmark_items(array: &mut Array) -> bool {
    let ArrayItems::RefOrSchema(items) = &mut array.items else {
        return false;
    };
    let mark = match items.as_mut() {
        RefOr::Ref(reference) => &mut reference.read_only,
        RefOr::T(Schema::Object(object)) => &mut object.read_only,
        RefOr::T(_) => return false,
    };
    mark.take() == Some(true)
}

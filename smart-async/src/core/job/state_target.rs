//! The state that receives the result of a job when it completes.

use serde_json::Value;

/// The state that the result of a job, or a part of it, is put into when the job completes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateTarget {
    /// The name of the state. It is checked where it is used, since a record may have been edited by hand.
    pub field: String,
    /// Which part of the result, as a JSON pointer (RFC 6901); empty for all of it.
    pub pointer: String,
}

impl StateTarget {
    /// The state of this name, for the part of the result that the pointer names.
    pub fn new(field: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self { field: field.into(), pointer: pointer.into() }
    }

    /// The part of a result that goes there, if it is there.
    pub fn part_of<'a>(&self, result: &'a Value) -> Option<&'a Value> {
        result.pointer(&self.pointer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_names_a_part_by_rfc_6901() {
        let result = json!({"": 0, "a": [1, {"b": 2}], "m~n": 3, "x/y": 4, "~1": 5, "none": null});
        for (pointer, part) in [
            ("", Some(result.clone())),
            ("/", Some(json!(0))),
            ("/a/0", Some(json!(1))),
            ("/a/1/b", Some(json!(2))),
            ("/m~0n", Some(json!(3))),
            ("/x~1y", Some(json!(4))),
            ("/~01", Some(json!(5))),
            ("/none", Some(json!(null))),
            ("/a/2", None),
            ("/a/-", None),
            ("/b", None),
        ] {
            assert_eq!(StateTarget::new("a", pointer).part_of(&result), part.as_ref(), "{pointer}");
        }
    }
}

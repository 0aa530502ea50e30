//! Servers whose tools take and return each shape of schema that `schemars` makes.

#![allow(
    deprecated,
    dead_code,
    reason = "a deprecated field is one of the shapes, and fields are there for their schemas"
)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::{NonZeroI32, NonZeroU8};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use smart_async::smart_async;

/// A struct that is sent and returned.
macro_rules! shapes {
    ($($item:item)*) => {$(
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        $item
    )*};
}

shapes! {
    pub struct Integers { a: u8, b: u16, c: u32, d: u64, e: u128, f: usize, g: i8, h: i16, i: i32, j: i64, k: i128, l: isize }
    pub struct Floats { a: f32, b: f64, c: bool, d: char, e: String }
    pub struct NonZero { a: NonZeroU8, b: NonZeroI32, c: Option<NonZeroU8> }
    /// Fields of any value.
    pub struct Any {
        raw: Value,
        /// Documented.
        documented: Value,
        optional: Option<Value>,
        list: Vec<Value>,
        map: HashMap<String, Value>,
        object: Map<String, Value>,
        nested: Vec<BTreeMap<String, Vec<Value>>>,
        #[serde(default)]
        defaulted: Value,
    }
    pub struct Options { a: Option<u32>, b: Option<String>, c: Option<Inner>, d: Option<Vec<Inner>>, e: Option<Unit>, f: Option<Option<bool>>, g: Option<()> }
    pub struct Inner {
        /// How deep.
        depth: u32,
        name: String,
    }
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    pub enum Unit { First, Second, Third }
    /// Each variant has a text.
    pub enum Documented {
        /// Goes up.
        Up,
        /// Goes down.
        Down,
    }
    pub enum External { Unit, Number(u32), Pair(u8, String), Fields { a: u32, b: Option<Inner> }, Newtype(Inner) }
    #[serde(tag = "kind")]
    pub enum Internal { Unit, Fields { a: u32, b: Vec<String> }, Newtype(Inner), Recursive(Box<Tree>) }
    #[serde(tag = "kind", content = "value")]
    pub enum Adjacent { Unit, Number(u32), Pair(u8, String), Fields { a: u32 }, Newtype(Inner) }
    #[serde(untagged)]
    pub enum Untagged { Number(u32), Text(String), List(Vec<u32>), Fields { a: u32 }, Nothing }
    pub struct Enums { a: Unit, b: Documented, c: External, d: Internal, e: Adjacent, f: Untagged, g: Option<Documented>, h: Vec<External> }
    pub struct FlatStruct { own: u32, #[serde(flatten)] inner: Inner }
    pub struct FlatExternal { own: u32, #[serde(flatten)] choice: External }
    pub struct FlatInternal { own: Option<u32>, #[serde(flatten)] choice: Internal }
    pub struct FlatAdjacent { #[serde(flatten)] choice: Adjacent }
    pub struct FlatUntagged { own: u32, #[serde(flatten)] choice: OneOrTwo }
    pub struct FlatOptional { own: u32, #[serde(flatten)] choice: Option<OneOrTwo> }
    pub struct FlatTwo { #[serde(flatten)] one: OneOrTwo, #[serde(flatten)] other: Internal }
    pub struct FlatMap { own: u32, #[serde(flatten)] rest: HashMap<String, Value> }
    pub struct FlatTextMap { own: u32, #[serde(flatten)] rest: HashMap<String, String> }
    pub struct NestedFlat { nested: FlatTwo, list: Vec<FlatInternal>, optional: Option<FlatExternal> }
    #[serde(untagged)]
    pub enum OneOrTwo { One { one: u32 }, Two { two: String } }
    pub struct Maps { text: HashMap<String, String>, structs: BTreeMap<String, Inner>, by_number: BTreeMap<u32, String>, by_signed: BTreeMap<i64, Inner>, by_unit: BTreeMap<Unit, u8> }
    pub struct Lists { bytes: Vec<u8>, fixed: [u16; 3], set: BTreeSet<u32>, nested: Vec<Vec<Inner>>, boxed: Box<[String]>, empty: [u8; 0] }
    pub struct Tuples { pair: (u32, String), same: (f64, f64), single: (u8,), list: Vec<(String, Inner)>, deep: ((u8, bool), Option<(i32, char)>) }
    pub struct Units { unit: (), unit_struct: Empty, marker: Marker }
    pub struct Empty {}
    pub struct Marker;
    pub struct Newtypes { a: Text, b: Wrapped, c: Transparent, d: Arc<Inner>, e: Cow<'static, str>, f: Triple }
    pub struct Text(String);
    pub struct Wrapped(Inner);
    #[serde(transparent)]
    pub struct Transparent { inner: Vec<Inner> }
    pub struct Triple(u8, String, Inner);
    pub struct Times { a: Duration, b: SystemTime, c: Range<u32>, d: Result<u32, String>, e: DateTime<Utc>, f: NaiveDate, g: NaiveDateTime }
    pub struct Tree { name: String, children: Vec<Tree> }
    pub struct Chain { next: Option<Box<Chain>>, other: Option<Box<Mutual>> }
    pub struct Mutual {
        /// Back to the chain.
        back: Option<Box<Chain>>,
        trees: BTreeMap<String, Tree>,
    }
    #[serde(tag = "op")]
    pub enum Expression { Leaf { value: i64 }, Not { of: Box<Expression> }, All { of: Vec<Expression> } }
    pub struct Expressions { expression: Expression, tree: Tree }
    pub struct Page<T> { items: Vec<T>, next: Option<String> }
    #[serde(deny_unknown_fields)]
    pub struct Closed { a: u32, inner: ClosedInner }
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct ClosedInner { a_field: u32, #[serde(flatten)] choice: OneOrTwo }
    /// Constraints, examples and defaults.
    pub struct Constrained {
        #[schemars(range(min = 1, max = 10))] ranged: u32,
        #[schemars(length(min = 1, max = 5))] short: String,
        #[schemars(length(min = 1))] some: Vec<String>,
        #[schemars(regex(pattern = "^a+$"))] pattern: String,
        #[schemars(email)] email: String,
        #[schemars(url)] url: String,
        #[schemars(example = 5, example = 7)] exemplary: u32,
        #[serde(default = "seven")] defaulted: u32,
        #[serde(default)] inner: Option<Inner>,
        #[deprecated] #[serde(default)] old: bool,
        #[schemars(extend("exclusiveMinimum" = 0))] positive: i32,
        #[schemars(extend("enum" = [1, 2, 4]))] power: u32,
        #[schemars(extend("const" = true))] always: bool,
    }
    pub struct Deep { a: Level1 }
    pub struct Level1 { a: Level2, b: Level2 }
    pub struct Level2 { a: Level3, b: Level3 }
    pub struct Level3 { a: Inner, b: Vec<Inner>, c: HashMap<String, Inner> }
}

fn seven() -> u32 {
    7
}

/// Tools that take and return the same struct.
macro_rules! echoes {
    ($server:ident: $($name:ident: $type:ty,)*) => {
        #[tool_router]
        impl $server {$(
            #[smart_async(default = 5)]
            #[tool]
            async fn $name(&self, Parameters(it): Parameters<$type>) -> Json<$type> {
                Json(it)
            }
        )*}

        #[tool_handler]
        impl ServerHandler for $server {}
    };
}

/// Annotated tools.
#[derive(Debug, Clone)]
pub struct Shapes;

echoes! { Shapes:
    integers: Integers,
    floats: Floats,
    non_zero: NonZero,
    any: Any,
    options: Options,
    inner: Inner,
    enums: Enums,
    flat_struct: FlatStruct,
    flat_external: FlatExternal,
    flat_internal: FlatInternal,
    flat_adjacent: FlatAdjacent,
    flat_untagged: FlatUntagged,
    flat_optional: FlatOptional,
    flat_two: FlatTwo,
    flat_map: FlatMap,
    flat_text_map: FlatTextMap,
    nested_flat: NestedFlat,
    maps: Maps,
    lists: Lists,
    tuples: Tuples,
    units: Units,
    empty: Empty,
    newtypes: Newtypes,
    times: Times,
    tree: Tree,
    chain: Chain,
    mutual: Mutual,
    expressions: Expressions,
    page_of_trees: Page<Tree>,
    page_of_pages: Page<Page<Enums>>,
    closed: Closed,
    closed_inner: ClosedInner,
    constrained: Constrained,
    deep: Deep,
    page_of_any: Page<Any>,
    map: HashMap<String, Value>,
    map_of_structs: BTreeMap<String, Inner>,
}

#[derive(Debug, Clone)]
pub struct Plain;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct OddArguments {
    #[serde(rename = "filter[name]")]
    filter: String,
}

/// Tools without the annotation, most of the same types.
#[tool_router]
impl Plain {
    #[tool]
    async fn flat_internal(&self, Parameters(it): Parameters<FlatInternal>) -> Json<FlatInternal> {
        Json(it)
    }

    #[tool]
    async fn any(&self, Parameters(it): Parameters<Any>) -> Json<Any> {
        Json(it)
    }

    #[tool]
    async fn tuples(&self, Parameters(it): Parameters<Tuples>) -> Json<Tuples> {
        Json(it)
    }

    #[tool]
    async fn integers(&self, Parameters(it): Parameters<Integers>) -> Json<Integers> {
        Json(it)
    }

    #[tool]
    async fn enums(&self, Parameters(it): Parameters<Enums>) -> Json<Enums> {
        Json(it)
    }

    #[tool]
    async fn tree(&self, Parameters(it): Parameters<Tree>) -> Json<Tree> {
        Json(it)
    }

    #[tool]
    async fn inner(&self, Parameters(it): Parameters<Inner>) -> Json<Inner> {
        Json(it)
    }

    #[tool(name = "names.with.dots")]
    async fn names_with_dots(&self) -> String {
        String::new()
    }

    #[tool]
    async fn odd_arguments(&self, Parameters(it): Parameters<OddArguments>) -> String {
        it.filter
    }
}

#[tool_handler]
impl ServerHandler for Plain {}

/// A value of a tool's type, with the tool's name.
pub const SAMPLES: &[(&str, &str)] = &[
    (
        "integers",
        r#"{"a":255,"b":65535,"c":0,"d":18446744073709551615,"e":1,"f":7,"g":-128,"h":-1,"i":-2,"j":-9223372036854775808,"k":-5,"l":0}"#,
    ),
    ("floats", r#"{"a":1.5,"b":-2e300,"c":true,"d":"ü","e":""}"#),
    ("non_zero", r#"{"a":1,"b":-1,"c":null}"#),
    (
        "any",
        r#"{"raw":[[1,[2]],{"a":null}],"documented":null,"optional":"x","list":[1,"a",[true]],"map":{"a":[[]]},"object":{"b":{}},"nested":[{"c":[1.5]}],"defaulted":false}"#,
    ),
    ("options", r#"{"a":null,"b":null,"c":null,"d":null,"e":null,"f":null,"g":null}"#),
    (
        "options",
        r#"{"a":1,"b":"b","c":{"depth":1,"name":"n"},"d":[{"depth":2,"name":"m"}],"e":"First","f":true}"#,
    ),
    ("options", "{}"),
    (
        "enums",
        r#"{"a":"Third","b":"Up","c":"Unit","d":{"kind":"Unit"},"e":{"kind":"Unit"},"f":null,"g":null,"h":["Unit",{"Number":3},{"Pair":[1,"a"]},{"Fields":{"a":1,"b":null}},{"Newtype":{"depth":0,"name":""}}]}"#,
    ),
    (
        "enums",
        r#"{"a":"First","b":"Down","c":{"Pair":[1,"b"]},"d":{"kind":"Newtype","depth":3,"name":"n"},"e":{"kind":"Pair","value":[1,"c"]},"f":[1,2],"g":"Up","h":[]}"#,
    ),
    (
        "enums",
        r#"{"a":"First","b":"Down","c":{"Number":1},"d":{"kind":"Recursive","name":"r","children":[{"name":"c","children":[]}]},"e":{"kind":"Fields","value":{"a":1}},"f":{"a":1},"g":"Up","h":[]}"#,
    ),
    ("flat_struct", r#"{"own":1,"depth":2,"name":"n"}"#),
    ("flat_external", r#"{"own":1,"Pair":[1,"b"]}"#),
    ("flat_external", r#"{"own":1,"Unit":null}"#),
    ("flat_external", r#"{"own":1,"Newtype":{"depth":1,"name":"n"}}"#),
    ("flat_internal", r#"{"own":null,"kind":"Fields","a":1,"b":["x"]}"#),
    ("flat_internal", r#"{"kind":"Newtype","depth":1,"name":"n"}"#),
    ("flat_internal", r#"{"kind":"Recursive","name":"n","children":[]}"#),
    ("flat_adjacent", r#"{"kind":"Number","value":4}"#),
    ("flat_adjacent", r#"{"kind":"Unit"}"#),
    ("flat_untagged", r#"{"own":1,"two":"b"}"#),
    ("flat_optional", r#"{"own":1}"#),
    ("flat_optional", r#"{"own":1,"one":2}"#),
    ("flat_two", r#"{"two":"b","kind":"Unit"}"#),
    ("flat_map", r#"{"own":1,"more":[1,{"a":2}],"and":null}"#),
    ("flat_text_map", r#"{"own":1,"more":"text"}"#),
    (
        "nested_flat",
        r#"{"nested":{"one":1,"kind":"Unit"},"list":[{"own":1,"kind":"Unit"}],"optional":{"own":1,"Number":2}}"#,
    ),
    (
        "maps",
        r#"{"text":{"a":"b"},"structs":{"a":{"depth":1,"name":"n"}},"by_number":{"7":"x"},"by_signed":{"-7":{"depth":1,"name":"n"}},"by_unit":{"First":1}}"#,
    ),
    (
        "lists",
        r#"{"bytes":[0,255],"fixed":[1,2,3],"set":[1,2],"nested":[[{"depth":1,"name":"n"}],[]],"boxed":["a"],"empty":[]}"#,
    ),
    (
        "tuples",
        r#"{"pair":[1,"a"],"same":[1.0,2.5],"single":[1],"list":[["a",{"depth":1,"name":"n"}]],"deep":[[1,true],[-1,"c"]]}"#,
    ),
    (
        "tuples",
        r#"{"pair":[1,"a"],"same":[1.0,2.5],"single":[1],"list":[],"deep":[[1,true],null]}"#,
    ),
    ("units", r#"{"unit":null,"unit_struct":{},"marker":null}"#),
    ("empty", "{}"),
    (
        "newtypes",
        r#"{"a":"t","b":{"depth":1,"name":"n"},"c":[],"d":{"depth":1,"name":"n"},"e":"c","f":[1,"x",{"depth":1,"name":"n"}]}"#,
    ),
    (
        "times",
        r#"{"a":{"secs":1,"nanos":2},"b":{"secs_since_epoch":1,"nanos_since_epoch":2},"c":{"start":1,"end":2},"d":{"Err":"x"},"e":"2026-11-28T02:00:00Z","f":"2026-11-28","g":"2026-11-28T02:00:00"}"#,
    ),
    ("tree", r#"{"name":"r","children":[{"name":"c","children":[]}]}"#),
    (
        "chain",
        r#"{"next":{"next":null,"other":{"back":null,"trees":{"a":{"name":"t","children":[]}}}},"other":null}"#,
    ),
    ("mutual", r#"{"back":{"next":null,"other":null},"trees":{}}"#),
    (
        "expressions",
        r#"{"expression":{"op":"All","of":[{"op":"Leaf","value":1},{"op":"Not","of":{"op":"Leaf","value":2}}]},"tree":{"name":"t","children":[]}}"#,
    ),
    ("page_of_trees", r#"{"items":[{"name":"t","children":[]}],"next":"more"}"#),
    ("page_of_pages", r#"{"items":[{"items":[],"next":null}],"next":null}"#),
    (
        "constrained",
        r#"{"ranged":10,"short":"abcde","some":["a"],"pattern":"aaa","email":"a@b.example","url":"https://b.example/","exemplary":5,"positive":1,"power":4,"always":true}"#,
    ),
    (
        "deep",
        r#"{"a":{"a":{"a":{"a":{"depth":1,"name":"n"},"b":[],"c":{}},"b":{"a":{"depth":1,"name":"n"},"b":[],"c":{}}},"b":{"a":{"a":{"depth":1,"name":"n"},"b":[],"c":{}},"b":{"a":{"depth":1,"name":"n"},"b":[],"c":{}}}}}"#,
    ),
    ("map", r#"{"x":[[1]],"y":null}"#),
    ("map_of_structs", r#"{"x":{"depth":1,"name":"n"}}"#),
];

//! Golden expansions: one for each shape of function and for each key.
//!
//! The refusals are in `refusal_tests`.

use proc_macro2::TokenStream;

use crate::expand::expand;

/// Where the annotated function stands.
enum Place {
    Impl,
    Module,
}

fn printed(place: &Place, keys: &str, item: &str) -> String {
    let tokens = |text: &str| text.parse::<TokenStream>().expect("the test's source has tokens");
    let expansion = expand(tokens(keys), tokens(item)).to_string();
    let file = match place {
        Place::Impl => format!("impl Reactor {{ {expansion} }}"),
        Place::Module => expansion,
    };
    let file = syn::parse_file(&file).unwrap_or_else(|error| panic!("{error} in {file}"));
    prettyplease::unparse(&file)
}

macro_rules! golden {
    ($name:ident, $place:ident, $keys:literal, $item:literal) => {
        #[test]
        fn $name() {
            let attribute = if $keys.is_empty() {
                "#[smart_async]".to_owned()
            } else {
                format!("#[smart_async({})]", $keys)
            };
            let written = format!("{attribute}\n{}", $item.trim());
            insta::with_settings!({ description => written, omit_expression => true }, {
                insta::assert_snapshot!(printed(&Place::$place, $keys, $item));
            });
        }
    };
}

golden!(
    a_tool_gets_a_schema_a_marker_and_a_reply,
    Impl,
    r#"timeout_env = "SIMULATE_TIMEOUT", default = 20"#,
    r#"
/// Simulate the reactor, a day at a time.
#[tool(title = "x")]
#[allow(clippy::foo)]
pub async fn simulate(&self, Parameters(Args { a, b }): Parameters<Args>) -> Result<Json<Report>, ErrorData> {
    run(a, b).await?;
    Ok(Json(Report))
}"#
);

golden!(
    a_tool_with_plain_json_gets_a_schema,
    Impl,
    "",
    r"
#[tool]
async fn simulate(&self) -> Json<my::Report<u8>> { Json(report()) }"
);

golden!(
    a_tool_with_plain_text_gets_no_schema,
    Impl,
    "",
    r#"
#[tool(description = "Greets.",)]
async fn greet(&self, Parameters(name): Parameters<Name>) -> String { name.0 }"#
);

golden!(
    a_tool_without_a_result_replies_with_nothing,
    Impl,
    "",
    r"
#[rmcp::tool]
async fn simulate(&self) { run().await }"
);

golden!(
    results_that_are_no_object_get_no_schema,
    Impl,
    "",
    r"
#[tool]
async fn list(&self) -> Result<Json<Vec<Report>>, ErrorData> { todo!() }"
);

golden!(
    what_the_author_said_about_schema_meta_and_name_is_kept,
    Impl,
    "",
    r#"
#[tool(name = "simulate-reactor", output_schema = my_schema(), annotations(read_only_hint = true), meta = Meta(object!({})))]
async fn simulate(&self) -> Result<Json<Report>, ErrorData> { todo!() }"#
);

golden!(
    expressions_in_quotes_are_wrapped_as_expressions,
    Impl,
    "",
    r#"
#[tool(output_schema = "my_schema()", meta = "my_meta()")]
async fn simulate(&self) -> String { todo!() }"#
);

golden!(
    arguments_of_tool_that_cannot_be_read_are_left_alone,
    Impl,
    "",
    r"
#[tool(title = = 1)]
async fn simulate(&self) -> Json<Report> { todo!() }"
);

golden!(
    a_blocking_tool_becomes_async_outside_and_stays_plain_inside,
    Impl,
    "blocking",
    r"
/// Counts.
#[tool]
pub(crate) fn count(&self, Parameters(upto): Parameters<Upto>) -> Result<String, ErrorData> { Ok(count(upto)) }"
);

golden!(
    a_blocking_method_that_is_no_tool_carries_the_probe,
    Impl,
    "blocking",
    r"
fn r#type(&self, upto: u32) -> u32 { upto }"
);

golden!(
    a_blocking_function_without_a_receiver_is_a_closure_in_place,
    Module,
    "blocking",
    r"
pub fn count(mut upto: u32, (a, _): (u32, Guard)) -> Result<u32, Error> { upto += a; Ok(upto) }"
);

golden!(
    an_associated_tool_keeps_its_body_in_place,
    Impl,
    "",
    r#"
/// Simulates.
#[tool(name = "simulate")]
#[allow(clippy::foo)]
async fn run(Parameters(Args { a, .. }): Parameters<Args>) -> Result<Json<Report>, ErrorData> { Self::step(a).await?; Ok(Json(Report)) }"#
);

golden!(
    a_plain_fallible_function_is_called_as_such,
    Module,
    "",
    r"
pub async fn convert(path: PathBuf) -> anyhow::Result<Report> { read(path).await }"
);

golden!(
    a_plain_infallible_function_is_called_as_such,
    Module,
    "",
    r"
async fn convert(path: PathBuf) { read(path).await; }"
);

golden!(
    a_plain_fallible_method_is_called_as_such,
    Impl,
    "",
    r"
async fn convert(self: &Self, path: PathBuf) -> Result<(), Error> { read(path).await }"
);

golden!(
    own_generics_are_named_in_the_call,
    Impl,
    "",
    r"
async fn convert<'a, T, const N: usize>(&'a self, input: impl Into<T> + Send + 'static) -> Vec<T>
where
    T: Default + Send + Sync + 'static,
{ todo!() }"
);

golden!(
    generics_stay_on_a_function_in_place,
    Module,
    "",
    r"
async fn convert<T: Send + 'static>(input: T) -> Result<T, Error> where T: Clone { Ok(input) }"
);

golden!(
    patterns_are_taken_apart_inside,
    Module,
    "",
    r"
async fn convert(mut a: A, B { b, .. }: B, _: C, _guard: D, ref e: E, whole @ Some(_): Option<F>) { drop((a, b)) }"
);

golden!(
    patterns_of_a_method_go_to_the_hidden_one,
    Impl,
    "",
    r"
async fn convert(&self, mut a: A, #[allow(unused)] B { b, .. }: B, _: C, _guard: D) { drop((a, b)) }"
);

golden!(
    a_parameter_on_a_condition_keeps_it_everywhere,
    Impl,
    "",
    r#"
async fn convert(&self, #[cfg(feature = "extra")] #[allow(unused)] extra: Extra) { }"#
);

golden!(
    a_parameter_on_a_condition_keeps_it_in_place,
    Module,
    "",
    r#"
async fn convert(#[cfg(feature = "extra")] #[allow(unused)] (extra, _): Extra, #[allow(unused)] b: B) { }"#
);

golden!(
    attributes_go_where_they_work,
    Impl,
    "",
    r#"
/// Documented.
#[cfg(feature = "reactor")]
#[cfg_attr(docsrs, doc(cfg(feature = "reactor")))]
#[deprecated(note = "use `run`")]
#[expect(clippy::foo, reason = "the reactor is round")]
#[tracing::instrument(skip(self))]
#[tool]
#[doc(alias = "run")]
pub async fn simulate(&self) -> String { todo!() }"#
);

golden!(
    attributes_stay_on_a_function_in_place,
    Module,
    "",
    r#"
/// Documented.
#[cfg(feature = "reactor")]
#[expect(clippy::foo)]
pub async fn simulate() -> String { #![allow(clippy::bar)] todo!() }"#
);

golden!(
    the_crate_can_have_another_path,
    Impl,
    "crate = crate::vendored::smart_async, on_cancel = \"keep\"",
    r"
#[tool]
async fn simulate(&self) -> Json<Report> { todo!() }"
);

golden!(
    every_key_reaches_the_call_site,
    Impl,
    r#"timeout_env = "A_1", default_timeout = "1m30s", deadline = 3600.5, on_disconnect = "keep", on_cancel = "auto","#,
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    the_other_choices_reach_the_call_site,
    Impl,
    r#"always_job, deadline = 0.25, on_disconnect = "cancel", on_cancel = "cancel""#,
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    a_task_that_is_required_reaches_the_call_site,
    Impl,
    "always_job, task_required",
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    coalescing_reaches_the_call_site,
    Impl,
    "coalesce",
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    keys_reach_the_call_site_and_the_marker,
    Impl,
    "idempotent = \"24h\", restart = \"rerun\"",
    r"
#[tool(meta = own_meta())]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    a_limit_and_a_priority_reach_the_call_site,
    Impl,
    r#"max_concurrent = 2, priority = 8, stall = "2m""#,
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    calls_of_their_own_reach_the_call_site,
    Impl,
    "repeatable",
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    what_says_the_usual_leaves_no_trace,
    Impl,
    r#"restart = "fail", store_result = true"#,
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    a_rerun_reaches_the_call_site_and_the_marker,
    Impl,
    r#"restart = "rerun", max_reruns = 0x10"#,
    r"
#[tool]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    a_rerun_is_one_rerun_and_keeps_the_authors_meta,
    Impl,
    r#"restart = "rerun""#,
    r"
#[tool(meta = my_meta())]
async fn simulate(&self) -> String { todo!() }"
);

golden!(
    redaction_reaches_the_call_site,
    Module,
    "redact",
    r"
async fn simulate() -> String { todo!() }"
);

golden!(
    what_is_kept_reaches_the_call_site,
    Module,
    "store_result = false",
    r"
async fn simulate() -> String { todo!() }"
);

golden!(
    a_state_and_its_pointer_reach_the_call_site,
    Impl,
    r#"state = "latest_report", pointer = "/report/north~1south""#,
    r"
#[tool]
async fn simulate(&self) -> Json<Report> { todo!() }"
);

golden!(
    a_state_without_a_pointer_takes_the_whole,
    Module,
    r#"state = "latest-report""#,
    r"
async fn simulate() -> String { todo!() }"
);

golden!(
    borrows_that_cannot_outlive_the_call_are_left_to_pass,
    Module,
    "",
    r"
async fn convert(name: &'static str, each: Box<dyn Fn(&str) -> &str + Send>, plain: fn(&u8) -> &u8, higher: Box<dyn for<'a> Read<'a> + Send + 'static>) -> Cow<'static, str> { todo!() }"
);

/// Editors expand code while it is being typed.
#[test]
fn a_half_typed_body_reaches_the_compiler_as_it_is() {
    let item: TokenStream = "async fn simulate(&self) { let x = ; self. }".parse().unwrap();
    let expansion = expand(TokenStream::new(), item).to_string();
    assert!(expansion.contains("let x = ; self ."), "{expansion}");
    assert!(!expansion.contains("compile_error"), "{expansion}");
}

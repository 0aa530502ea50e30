//! The wording of every error, and what is emitted beside it.
//!
//! Which token an error underlines is in the compile-fail cases of the workspace's tests.

use proc_macro2::{TokenStream, TokenTree};

use crate::expand::expand;

fn expanded(keys: &str, item: &str) -> TokenStream {
    let tokens = |text: &str| text.parse::<TokenStream>().expect("the test's source has tokens");
    expand(tokens(keys), tokens(item))
}

/// The messages, and what is left once they are taken out.
fn messages_and_rest(expansion: TokenStream) -> (Vec<String>, String) {
    let mut messages = Vec::new();
    let mut rest: Vec<TokenTree> = Vec::new();
    for token in expansion {
        match &token {
            TokenTree::Group(group) if rest.last().is_some_and(|last| last.to_string() == "!") => {
                let message: syn::LitStr = syn::parse2(group.stream()).expect("a message");
                messages.push(message.value());
                // `::core::compile_error!`
                rest.truncate(rest.len() - 7);
            }
            _ => rest.push(token),
        }
    }
    (messages, TokenStream::from_iter(rest).to_string())
}

fn messages(keys: &str, item: &str) -> String {
    messages_and_rest(expanded(keys, item)).0.join("\n")
}

const FINE: &str = "#[tool] async fn simulate(&self) -> String { todo!() }";

fn for_keys(list: &[&str]) -> String {
    let mut text = String::new();
    for keys in list {
        text += &format!("#[smart_async({keys})]\n{}\n\n", messages(keys, FINE));
    }
    text
}

fn for_items(list: &[&str]) -> String {
    let mut text = String::new();
    for item in list {
        text += &format!("{item}\n{}\n\n", messages("", item));
    }
    text
}

macro_rules! wording {
    ($name:ident, $of:expr) => {
        #[test]
        fn $name() {
            insta::with_settings!({ omit_expression => true }, {
                insta::assert_snapshot!($of);
            });
        }
    };
}

wording!(
    an_unknown_key_names_the_allowed_ones,
    for_keys(&[
        "defualt = 20",
        "timeout_evn = \"A\"",
        "timeout = 3",
        "budget = 30",
        "retries = 3",
        "job_label = \"x\"",
        "description = \"x\"",
        "colour = 3",
        "Always-Job",
        "alwaysjob",
        "20",
        "= 3",
        "blocking, , always_job"
    ])
);

wording!(
    a_key_stands_once,
    for_keys(&[
        "default = 1, default = 2",
        "default = 1, default_timeout = 2",
        "default = 0, default = 1, default = 2",
        "always_job, always_job",
        "crate = a, crate = b",
    ])
);

wording!(
    a_value_stands_where_one_belongs,
    for_keys(&[
        "default",
        "default(20)",
        "default =",
        "default 20",
        "timeout_env",
        "always_job = true",
        "always_job()",
        "crate = \"smart_async\"",
        "crate = a::<b>",
    ])
);

wording!(
    a_time_is_positive_and_literal,
    for_keys(&[
        "default = 0",
        "default = 0.0",
        "default_timeout = \"0s\"",
        "deadline = 0",
        "default = -1",
        "deadline = -0.5",
        "default = 1e-12",
        "default = 1e999",
        "default = 18446744073709551616",
        "default = 2e19",
        "default = f64::NAN",
        "default = LIMIT",
        "default = 10 + 10",
        "default = true",
        "default = 'c'",
        "default = \"soon\"",
        "default = \"20\"",
        "deadline = \" 0.5 \"",
        "default = \"\"",
        "default = 20s",
        "default = 20f64",
        "default = 1.5min",
    ])
);

wording!(
    a_variable_has_a_portable_name,
    for_keys(&[
        "timeout_env = \"\"",
        "timeout_env = \"1A\"",
        "timeout_env = \"A-B\"",
        "timeout_env = \"Ä\"",
        "timeout_env = 3",
        "timeout_env = NAME",
    ])
);

wording!(
    a_choice_is_one_of_those_offered,
    for_keys(&[
        "on_disconnect = \"auto\"",
        "on_cancel = \"stop\"",
        "on_cancel = Keep",
        "restart = \"again\"",
    ])
);

wording!(
    a_number_of_reruns_is_positive_and_whole,
    for_keys(&[
        "restart = \"rerun\", max_reruns = 0",
        "restart = \"rerun\", max_reruns = -1",
        "restart = \"rerun\", max_reruns = 1.0",
        "restart = \"rerun\", max_reruns = 3u32",
        "restart = \"rerun\", max_reruns = 4294967296",
        "restart = \"rerun\", max_reruns = \"3\"",
        "restart = \"rerun\", max_reruns = LIMIT",
        "restart = \"rerun\", max_reruns",
    ])
);

wording!(
    a_key_is_kept_for_a_time_and_on_disk,
    for_keys(&[
        "idempotent = 0",
        "idempotent",
        "idempotent = \"24\"",
        "idempotent = \"24h\", redact",
        "idempotent = \"24h\", store_result = false",
        "idempotency = \"24h\"",
        "idempotency_key = \"a\"",
    ])
);

wording!(
    a_limit_is_positive_and_a_priority_one_of_ten,
    for_keys(&[
        "max_concurrent = 0",
        "max_concurrent = -1",
        "max_concurrent = \"2\"",
        "max_concurrent",
        "priority = 0",
        "priority = 11",
        "priority = high",
        "priority",
        "concurrency = 2",
    ])
);

wording!(
    max_reruns_needs_a_rerun,
    for_keys(&[
        "max_reruns = 3",
        "restart = \"fail\", max_reruns = 3",
        "restart = \"again\", max_reruns = 3",
    ])
);

wording!(
    only_a_tool_is_run_again,
    ["async fn simulate(&self) {}", "async fn simulate() -> Result<u8, Error> { todo!() }"]
        .map(|item| format!("{item}\n{}\n", messages("restart = \"rerun\"", item)))
        .join("\n")
);

wording!(
    only_a_tool_asks_for_clients_that_take_tasks,
    ["async fn simulate(&self) {}", "async fn simulate() -> Result<u8, Error> { todo!() }"]
        .map(|item| format!("{item}\n{}\n", messages("task_required", item)))
        .join("\n")
);

wording!(
    only_calls_of_a_tool_are_coalesced,
    ["async fn simulate(&self) {}", "async fn simulate() -> Result<u8, Error> { todo!() }"]
        .map(|item| format!("{item}\n{}\n", messages("coalesce", item)))
        .join("\n")
);

wording!(
    a_switch_says_true_or_false,
    for_keys(&["store_result = 0", "store_result = \"false\"", "store_result", "redact = true"])
);

wording!(
    a_state_has_a_name_that_every_file_system_takes_for_the_same,
    for_keys(&[
        "state = \"\"",
        "state = \"Report\"",
        "state = \"a.b\"",
        "state = \"../a\"",
        "state = \"a\\nb\"",
        "state = \"_a\"",
        "state = \"nul\"",
        "state = \"com1\"",
        "state = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "state = report",
        "state",
    ])
);

wording!(
    a_pointer_is_one_of_rfc_6901,
    for_keys(&[
        "state = \"a\", pointer = \"\"",
        "state = \"a\", pointer = \"a/b\"",
        "state = \"a\", pointer = \"#/a\"",
        "state = \"a\", pointer = \"/a~\"",
        "state = \"a\", pointer = \"/a~2b\"",
        "state = \"a\", pointer = 3",
        "pointer = \"/a\"",
        "state = \"A\", pointer = \"/a\"",
    ])
);

wording!(
    what_is_kept_and_what_is_not_contradict_each_other,
    for_keys(&[
        "redact, restart = \"rerun\"",
        "redact, store_result = false",
        "redact, store_result = true",
        "redact, state = \"a\"",
        "store_result = false, state = \"a\"",
        "state = \"a\", redact, store_result = false, restart = \"rerun\"",
    ])
);

wording!(
    keys_that_cannot_work_together_are_refused,
    for_keys(&[
        "always_job, default = 20",
        "timeout_env = \"A\", always_job, default_timeout = 20",
        "default = 20, deadline = 20",
        "deadline = 5, default_timeout = \"1m\"",
    ])
);

wording!(
    all_errors_of_one_use_come_at_once,
    messages(
        "defualt = 3, deadline = 0, blocking = true, timeout_env",
        "unsafe extern \"C\" fn simulate(&mut self, name: &str, other: &u8) -> impl Display { todo!() }"
    )
);

wording!(
    async_and_blocking_fit_the_function,
    format!(
        "{}\n{}",
        messages("blocking", FINE),
        messages("", "fn simulate(&self) -> String { todo!() }")
    )
);

wording!(
    only_a_shared_receiver_is_taken,
    for_items(&[
        "async fn simulate(&mut self) {}",
        "async fn simulate(self) {}",
        "async fn simulate(mut self) {}",
        "async fn simulate(self: Arc<Self>) {}",
        "async fn simulate(self: &mut Self) {}",
        "async fn simulate(self: &Arc<Self>) {}",
    ])
);

wording!(
    borrows_are_refused,
    for_items(&[
        "async fn simulate(&self, name: &str) {}",
        "async fn simulate(&self, names: Vec<&str>, all: &[u8], one: &mut u8) {}",
        "async fn simulate<'a>(&self, name: Cow<'a, str>) {}",
        "async fn simulate(name: Cow<'_, str>) {}",
        "async fn simulate(name: Box<dyn Read + '_>) {}",
        "async fn simulate(&self) -> &str { todo!() }",
        "async fn simulate(&self) -> Result<Vec<&u8>, Error> { todo!() }",
    ])
);

wording!(
    a_result_has_a_name,
    for_items(&[
        "async fn simulate(&self) -> impl Display { todo!() }",
        "async fn simulate() -> Result<impl Display, Error> { todo!() }",
    ])
);

wording!(
    work_that_stays_on_its_thread_is_refused,
    for_items(&[
        "#[tool(local)] async fn simulate(&self) {}",
        "#[tool(title = \"x\", local = true)] async fn simulate(&self) {}",
    ])
);

wording!(
    qualifiers_are_refused,
    for_items(&[
        "const async fn simulate() {}",
        "async unsafe fn simulate() {}",
        "async extern \"C\" fn simulate() {}",
        "async unsafe extern \"C\" fn simulate(first: u8, ...) {}",
    ])
);

wording!(
    what_is_no_function_is_refused,
    for_items(&[
        "struct Reactor;",
        "impl Reactor {}",
        "pub mod reactor {}",
        "async fn simulate(&self);",
        "",
    ])
);

wording!(
    the_attribute_stands_once,
    for_items(&["#[smart_async(default = 3)] #[tool] async fn simulate(&self) {}"])
);

wording!(
    a_tool_on_a_condition_is_refused,
    for_items(&["#[cfg_attr(feature = \"x\", tool(title = \"x\"))] async fn simulate(&self) {}"])
);

wording!(
    standing_below_tool_gives_one_error,
    for_items(&[
        "fn simulate(&self) -> ::std::pin::Pin<Box<dyn ::std::future::Future<Output = &str> + Send + '_>> { { Box::pin(async move { todo!() }) } }",
        "fn simulate<'a>(&'a self) -> ::std::pin::Pin<Box<dyn ::std::future::Future<Output = ()> + 'a>> { { Box::pin(async move { todo!() }) } }",
    ])
);

#[test]
fn what_says_the_usual_is_let_pass() {
    assert_eq!(messages("restart = \"fail\", store_result = true, state = \"a\"", FINE), "");
    assert_eq!(messages("restart = \"fail\"", "async fn simulate() {}"), "");
}

#[test]
fn a_rerun_of_a_tool_on_a_condition_is_one_error() {
    let item = "#[cfg_attr(x, tool)] async fn simulate(&self) {}";
    let (messages, _) = messages_and_rest(expanded("restart = \"rerun\"", item));
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[test]
fn local_that_is_false_is_let_pass() {
    assert_eq!(messages("", "#[tool(local = false)] async fn simulate(&self) {}"), "");
}

#[test]
fn a_refused_function_is_emitted_unchanged() {
    let (messages, rest) = messages_and_rest(expanded("default = 0", FINE));
    assert_eq!(messages.len(), 1);
    let unchanged: TokenStream = FINE.parse().unwrap();
    assert_eq!(rest, unchanged.to_string());
}

#[test]
fn what_is_no_function_is_emitted_unchanged() {
    let (messages, rest) = messages_and_rest(expanded("", "struct Reactor { field : u8 }"));
    assert_eq!(messages.len(), 1);
    assert_eq!(rest, "struct Reactor { field : u8 }");
}

#[test]
fn a_second_attribute_is_taken_out() {
    let (_, rest) = messages_and_rest(expanded("", "#[smart_async] async fn simulate() {}"));
    assert_eq!(rest, "async fn simulate () { }");
}

wording!(
    a_refused_signature_leaves_an_empty_tool_to_the_router,
    messages_and_rest(expanded(
        "",
        "/// Docs.\n#[tool(title = \"x\", local)] #[allow(unused)] pub async fn simulate(&mut self, name: &str) -> &str { name }"
    ))
    .1
);

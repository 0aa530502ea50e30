fn main() {
    let progress = smart_async::progress();
    progress.count(3, "read three");
    progress.count("read three", 10);
    progress.report(3, 10, 7);
    progress.report(3, 10, None::<&str>);
    progress.report(3, "read three", 10);
    progress.message(3);
}

//! The tour's output: plain lines if stdout is no terminal, a live progress bar if it is one.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// Lines are broken before this column, so that they fit a terminal of the usual width.
const WIDTH: usize = 78;
const INDENT: &str = "   ";
/// The interval of progress lines where no bar can be drawn.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// The tour's output.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    colour: bool,
    began: Instant,
}

impl Screen {
    /// The process's stdout.
    pub fn stdout() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        let terminal = stdout().is_terminal() && !dumb;
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { terminal, colour: terminal && !no_colour, began: Instant::now() }
    }

    /// Returns the time since the tour began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Prints a heading.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn heading(&self, text: &str) -> Result<()> {
        let text = self.painted("1", text);
        self.line(&format!("\n{text}"))
    }

    /// Prints a paragraph.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn say(&self, text: &str) -> Result<()> {
        wrapped(text, WIDTH - INDENT.len())
            .iter()
            .try_for_each(|line| self.line(&format!("{INDENT}{line}")))
    }

    /// Shows a call of a tool.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn call(&self, tool: &str, arguments: &Value) -> Result<()> {
        self.block("36", "-->", &format!("{tool} {arguments}"))
    }

    /// Shows an answer and how long it took.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn answer(&self, took: Duration, shown: &str) -> Result<()> {
        self.block("32", "<--", &format!("[{}] {shown}", spoken(took)))
    }

    /// Shows text from a file, cut after `lines` lines.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn excerpt(&self, text: &str, lines: usize) -> Result<()> {
        let all = wrapped(text, WIDTH - INDENT.len() - 4);
        for (number, line) in all.iter().take(lines).enumerate() {
            let more = if number + 1 == lines && all.len() > lines { " ..." } else { "" };
            let line = self.painted("33", line);
            self.line(&format!("{INDENT}{line}{more}"))?;
        }
        Ok(())
    }

    /// Begins a bar of `total` steps for work that began `elapsed` ago.
    pub fn bar(&self, total: u64, elapsed: Duration) -> Bar {
        let target =
            if self.terminal { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_elapsed(elapsed);
        if let Ok(style) =
            ProgressStyle::with_template("   [{bar:30}] {percent:>3}%  {msg:<22} {elapsed:>4}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        if self.terminal {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Bar { bar, plain: !self.terminal, told: None, untold: None }
    }

    fn block(&self, colour: &str, arrow: &str, text: &str) -> Result<()> {
        let room = WIDTH - INDENT.len() - arrow.len() - 1;
        let mut margin = self.painted(colour, arrow);
        for line in wrapped(text, room) {
            self.line(&format!("{INDENT}{margin} {line}"))?;
            margin = " ".repeat(arrow.len());
        }
        Ok(())
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn line(&self, line: &str) -> Result<()> {
        writeln!(stdout(), "{line}").context("failed to write to stdout")
    }
}

/// A bar that follows a job.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    plain: bool,
    /// When the last progress line was printed.
    told: Option<Instant>,
    /// The newest progress that no line has shown yet.
    untold: Option<String>,
}

impl Bar {
    /// Shows how far a job has come.
    ///
    /// # Errors
    /// If the job has no progress, or stdout cannot be written.
    pub fn show(&mut self, job: &Value) -> Result<()> {
        let progress = job.get("progress").context("the job has no progress")?;
        let number = |field| progress.get(field).and_then(Value::as_f64).unwrap_or_default();
        let message = progress.get("message").and_then(Value::as_str).unwrap_or_default();
        let (current, percentage) = (number("current") as u64, number("percentage"));
        self.bar.set_message(message.to_owned());
        self.bar.set_position(current);
        self.untold = Some(format!("{INDENT}{percentage:>3.0}%  {message}"));
        if self.told.is_none_or(|told| told.elapsed() >= PLAIN_EVERY) {
            self.tell()
        } else {
            Ok(())
        }
    }

    /// Leaves the bar as it is, and continues below it.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn end(mut self) -> Result<()> {
        self.bar.abandon();
        self.tell()
    }

    /// Prints the newest progress as a line, if no bar is drawn and no line has shown it.
    fn tell(&mut self) -> Result<()> {
        match self.untold.take().filter(|_| self.plain) {
            Some(line) => {
                self.told = Some(Instant::now());
                writeln!(stdout(), "{line}").context("failed to write to stdout")
            }
            None => Ok(()),
        }
    }
}

/// Formats a duration for people.
pub fn spoken(time: Duration) -> String {
    if time < Duration::from_millis(100) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// Breaks text after blanks and commas into lines of at most `width` characters. A word with neither, such as a path to
/// copy, stays whole. A line break in the text stays one, and continuation lines get the indentation of their line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent: String = line.chars().take_while(|char| *char == ' ').collect();
        let mut current = String::new();
        let mut length = 0;
        for piece in line.split_inclusive([' ', ',']) {
            let pieces = piece.chars().count();
            if length > 0 && length + piece.trim_end().chars().count() > width {
                lines.push(current.trim_end().to_owned());
                current.clone_from(&indent);
                length = indent.len();
            }
            current.push_str(piece);
            length += pieces;
        }
        lines.push(current.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_after_blanks_and_commas() {
        assert_eq!(wrapped("one two,three four", 9), ["one two,", "three", "four"]);
    }

    #[test]
    fn what_cannot_be_broken_stays_whole() {
        assert_eq!(wrapped("a /a/very/long/path b", 6), ["a", "/a/very/long/path", "b"]);
    }

    #[test]
    fn line_breaks_and_indentation_are_kept() {
        assert_eq!(wrapped("[\n  one two\n]", 6), ["[", "  one", "  two", "]"]);
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        assert_eq!(spoken(Duration::from_micros(2_500)), "2 ms");
        assert_eq!(spoken(Duration::from_millis(1_049)), "1.0 s");
    }
}

//! Progress on long work, on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar up to `total`; nothing is drawn if `quiet`, or if nobody watches.
pub(crate) fn up_to(total: u64, what: &str, quiet: bool) -> ProgressBar {
    let style = "{bar:40} {pos}/{len} {msg}, {elapsed} (about {eta} left)";
    draw(ProgressBar::new(total), style, what, quiet)
}

/// A count without an end that is known.
pub(crate) fn counting(what: &str, quiet: bool) -> ProgressBar {
    draw(
        ProgressBar::no_length(),
        "{spinner} {pos} {msg}, {elapsed}",
        what,
        quiet,
    )
}

fn draw(bar: ProgressBar, style: &str, what: &str, quiet: bool) -> ProgressBar {
    let style = ProgressStyle::with_template(style)
        .unwrap_or_else(|error| unreachable!("the template is fixed: {error}"));
    bar.set_style(style);
    bar.set_message(what.to_owned());
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

//! A progress bar on stderr, where a terminal watches and work is long enough to wait for.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over bytes; drawn only on a terminal, and only for work of more than a moment.
pub fn bar(bytes: u64) -> ProgressBar {
    const WORTH_IT: u64 = 1 << 30;
    if bytes < WORTH_IT {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

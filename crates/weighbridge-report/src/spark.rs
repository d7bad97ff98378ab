//! Histograms of one line.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One character a column, taller for more; a blank for none. Columns are the counts' sums over equal runs.
pub fn sparkline(counts: &[u64], width: usize) -> String {
    let columns = resample(counts, width);
    let top = columns.iter().copied().max().unwrap_or(0);
    columns
        .iter()
        .map(|&n| match n {
            0 => ' ',
            // Square root: thin tails stay visible beside a tall middle.
            n => LEVELS[((n as f64 / top as f64).sqrt() * 7.0).round() as usize],
        })
        .collect()
}

fn resample(counts: &[u64], width: usize) -> Vec<u64> {
    let width = width.clamp(1, counts.len().max(1));
    (0..width)
        .map(|i| counts[i * counts.len() / width..(i + 1) * counts.len() / width].iter().sum())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_columns_are_blank_and_the_fullest_is_full() {
        assert_eq!(sparkline(&[0, 1, 100, 0], 4), " ▂█ ");
        assert_eq!(sparkline(&[1, 1, 0, 0], 2), "█ ");
    }
}

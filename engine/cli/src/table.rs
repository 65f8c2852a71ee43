//! Columns of text for lists.

use console::measure_text_width;

use crate::output::{Facts, Style};

/// Rows under a header, columns two blanks apart. A last column that does not fit is cut with `…` on a terminal.
pub(crate) fn table(facts: &Facts, header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell));
        cells.chain([header[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let header: Vec<String> = header.iter().map(|name| facts.paint(Style::Strong, name)).collect();
    std::iter::once(&header).chain(rows).map(|row| line(facts, row, &widths)).collect()
}

fn line(facts: &Facts, row: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (cell, width) in row.iter().zip(widths) {
        out.push_str(cell);
        out.extend(std::iter::repeat_n(' ', width.saturating_sub(measure_text_width(cell)) + 2));
    }
    let out = out.trim_end();
    if facts.terminal { console::truncate_str(out, facts.width, "…").into_owned() } else { out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_are_cut_on_a_terminal_only() {
        let rows = [vec!["1".to_owned(), "a long one".to_owned()], vec!["418".to_owned(), "short".to_owned()]];
        assert_eq!(table(&Facts::PLAIN, &["RUN", "WHAT"], &rows), ["RUN  WHAT", "1    a long one", "418  short"]);
        let narrow = Facts { terminal: true, width: 10, ..Facts::PLAIN };
        assert_eq!(table(&narrow, &["RUN", "WHAT"], &rows)[1], "1    a lo…");
    }
}

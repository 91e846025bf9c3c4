//! What rank 0 prints: OSU's text, so that scripts written for OSU read it, or JSON, or CSV.

use std::io::Write;

use serde_json::{Map, Value, json};

/// The OSU release whose options, methods and layout these are.
pub(crate) const OSU_RELEASE: &str = "7.5";
/// Width of a column after the size.
const COLUMN_WIDTH: usize = 18;
/// Width of the column of iterations.
const ITERATIONS_WIDTH: usize = 12;
/// Width of the size column.
const SIZE_WIDTH: usize = 10;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OSU's columns.
    Text,
    /// One document at the end.
    Json,
    /// One line per size.
    Csv,
}

/// A column: its name for programs and its heading for people.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Key in JSON and CSV; carries the unit.
    pub(crate) key: String,
    /// Heading as OSU prints it.
    pub(crate) heading: String,
}

impl Column {
    /// A column with a fixed name.
    pub(crate) fn new(key: &str, heading: &str) -> Self {
        Self { key: key.to_owned(), heading: heading.to_owned() }
    }
}

/// One value of a row.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A measured value.
    Number(f64),
    /// A number of iterations.
    Iterations(usize),
    /// Whether every byte was right.
    Validation(bool),
}

/// What one benchmark prints for one datatype.
pub(crate) struct Table {
    /// Title line, without the release: `OSU MPI Latency Test`.
    pub(crate) title: String,
    /// Comment lines after it, without `# `.
    pub(crate) notes: Vec<String>,
    /// Whether rows have a message size.
    pub(crate) sized: bool,
    /// The values of a row.
    pub(crate) columns: Vec<Column>,
}

/// Writes tables to standard output; silent on all ranks but 0.
pub(crate) struct Report {
    format: Format,
    speaks: bool,
    table: Option<Table>,
    rows: Vec<Value>,
    tables: Vec<Value>,
    about: Map<String, Value>,
}

impl Report {
    /// A report that prints if `speaks`; `about` opens the JSON document.
    pub(crate) fn new(format: Format, speaks: bool, about: Map<String, Value>) -> Self {
        Self { format, speaks, table: None, rows: Vec::new(), tables: Vec::new(), about }
    }

    /// Starts a table.
    pub(crate) fn begin(&mut self, table: Table) {
        self.close_table();
        match self.format {
            Format::Text => self.say(&header(&table)),
            Format::Csv => {
                let size = table.sized.then_some("size_bytes");
                let keys: Vec<&str> =
                    size.into_iter().chain(table.columns.iter().map(|column| column.key.as_str())).collect();
                self.say(&(keys.join(",") + "\n"));
            }
            Format::Json => {}
        }
        self.table = Some(table);
    }

    /// Adds a row; `size_bytes` is `None` where there is no size.
    pub(crate) fn row(&mut self, size_bytes: Option<usize>, cells: &[Cell]) {
        match self.format {
            Format::Text => {
                let first = self.table.as_ref().and_then(|table| table.columns.first());
                self.say(&text_row(size_bytes, cells, first.map_or(0, |column| sizeless_heading(column).len())));
            }
            Format::Csv => self.say(&csv_row(size_bytes, cells)),
            Format::Json => {
                let Some(table) = &self.table else { return };
                let size = size_bytes.map(|size| ("size_bytes".to_owned(), json!(size)));
                let cells = table.columns.iter().zip(cells).map(|(column, cell)| (column.key.clone(), json_cell(cell)));
                self.rows.push(Value::Object(size.into_iter().chain(cells).collect()));
            }
        }
    }

    /// A line that is no table, for example of `init`; `values` are its numbers for JSON and CSV.
    pub(crate) fn line(&mut self, title: &str, line: &str, values: &[(&str, f64)]) {
        match self.format {
            Format::Text => self.say(&format!("# {title} v{OSU_RELEASE}\n{line}\n")),
            Format::Csv => {
                let (keys, numbers): (Vec<&str>, Vec<String>) =
                    values.iter().map(|(key, value)| (*key, value.to_string())).unzip();
                self.say(&format!("{}\n{}\n", keys.join(","), numbers.join(",")));
            }
            Format::Json => {
                let row: Map<String, Value> =
                    values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
                self.tables.push(json!({ "title": title, "rows": [row] }));
            }
        }
    }

    /// Writes what is still held back.
    pub(crate) fn finish(&mut self) {
        self.close_table();
        if self.format == Format::Json {
            self.about.insert("tables".to_owned(), Value::Array(std::mem::take(&mut self.tables)));
            let document = Value::Object(std::mem::take(&mut self.about));
            self.say(&format!("{document:#}\n"));
        }
    }

    fn close_table(&mut self) {
        let (Some(table), Format::Json) = (self.table.take(), self.format) else { return };
        let columns: Vec<Value> =
            table.columns.iter().map(|column| json!({ "key": column.key, "heading": column.heading })).collect();
        self.tables.push(json!({
            "title": table.title,
            "notes": table.notes,
            "columns": columns,
            "rows": std::mem::take(&mut self.rows),
        }));
    }

    /// mpirun shows a line as soon as it is whole and flushed.
    fn say(&self, text: &str) {
        if self.speaks {
            let mut out = std::io::stdout().lock();
            // A reader that went away (`| head`) ends the run by SIGPIPE or leaves nothing worth telling.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

fn width_of(column: &Column) -> usize {
    if column.key == "iterations" { ITERATIONS_WIDTH } else { COLUMN_WIDTH }
}

/// The first column where there is no size.
fn sizeless_heading(column: &Column) -> String {
    format!("# {}", column.heading)
}

fn header(table: &Table) -> String {
    let mut text = format!("\n# {} v{OSU_RELEASE}\n", table.title);
    for note in &table.notes {
        text += &format!("# {note}\n");
    }
    let mut columns = table.columns.iter();
    if table.sized {
        text += &format!("{:<SIZE_WIDTH$}", "# Size");
    } else if let Some(first) = columns.next() {
        text += &sizeless_heading(first);
    }
    for column in columns {
        text += &format!("{:>width$}", column.heading, width = width_of(column));
    }
    text + "\n"
}

fn text_row(size_bytes: Option<usize>, cells: &[Cell], sizeless_width: usize) -> String {
    let mut text = size_bytes.map_or_else(String::new, |size| format!("{size:<SIZE_WIDTH$}"));
    for (index, cell) in cells.iter().enumerate() {
        let width = if size_bytes.is_none() && index == 0 { sizeless_width } else { COLUMN_WIDTH };
        text += &match cell {
            Cell::Number(value) => format!("{value:>width$.2}"),
            Cell::Iterations(count) => format!("{count:>ITERATIONS_WIDTH$}"),
            Cell::Validation(passed) => format!("{:>width$}", verdict(*passed)),
        };
    }
    text + "\n"
}

fn csv_row(size_bytes: Option<usize>, cells: &[Cell]) -> String {
    let size = size_bytes.map(|size| size.to_string());
    let cells = cells.iter().map(|cell| match cell {
        Cell::Number(value) => value.to_string(),
        Cell::Iterations(count) => count.to_string(),
        Cell::Validation(passed) => verdict(*passed).to_owned(),
    });
    size.into_iter().chain(cells).collect::<Vec<_>>().join(",") + "\n"
}

fn json_cell(cell: &Cell) -> Value {
    match cell {
        Cell::Number(value) => json!(value),
        Cell::Iterations(count) => json!(count),
        Cell::Validation(passed) => json!(verdict(*passed)),
    }
}

fn verdict(passed: bool) -> &'static str {
    if passed { "Pass" } else { "Fail" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency_table() -> Table {
        Table {
            title: "OSU MPI Latency Test".into(),
            notes: vec!["Datatype: MPI_CHAR.".into()],
            sized: true,
            columns: vec![Column::new("latency_us", "Avg Latency(us)")],
        }
    }

    /// Lines of osu_latency 7.5, as published by its users.
    #[test]
    fn text_is_laid_out_as_osu_does() {
        assert_eq!(
            header(&latency_table()),
            "\n# OSU MPI Latency Test v7.5\n# Datatype: MPI_CHAR.\n# Size       Avg Latency(us)\n"
        );
        assert_eq!(text_row(Some(1), &[Cell::Number(2.48)], 17), "1                       2.48\n");
        assert_eq!(text_row(None, &[Cell::Number(0.5)], 17), "             0.50\n");
    }

    #[test]
    fn full_rows_and_validation_follow_the_average() {
        let cells =
            [Cell::Number(1.0), Cell::Number(0.5), Cell::Number(2.0), Cell::Iterations(1000), Cell::Validation(false)];
        let row = text_row(Some(8), &cells, 17);
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["8", "1.00", "0.50", "2.00", "1000", "Fail"]);
        assert_eq!(csv_row(Some(8), &cells), "8,1,0.5,2,1000,Fail\n");
    }
}

//! Tables that continue on the next page, under the same head.

use crate::{
    sheet::{Align, Role, Sheet},
    text::{Colour, Line, Style},
};

const SIZE: f32 = 9.0;
const SMALL: f32 = 7.5;
const TITLE: Style = Style::bold(8.0);
const SUM: Style = Style::bold(SIZE);
/// The height of a row with what is carried forward.
const CARRIED: f32 = SIZE * 1.3 + 2.0 * PADDING;
/// Between a rule and the text next to it.
const PADDING: f32 = 4.0;
/// Between the columns.
const GUTTER: f32 = 8.0;

/// No column but the one of text is wider.
const MOST_WIDTH: f32 = 125.0;

/// More of a text than this is cut off: a row is never higher than a page.
const MOST_LINES: usize = 8;

/// A column, and what is above it.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) shape: Shape,
}

/// How a column looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text that takes what the other columns leave. One column of a table is this.
    Text,
    /// Short text, as wide as the longest.
    Narrow,
    /// Numbers, as wide as the longest: they are never broken.
    Figures,
}

/// What stands in one cell.
#[derive(Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// Below it, smaller.
    pub(crate) detail: String,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            detail: String::new(),
        }
    }
}

/// What is said where a table goes on: the sum of what is above, at the end of a page and at the top
/// of the next one.
pub(crate) struct Carried {
    /// What it is called at the end of a page.
    pub(crate) forward: &'static str,
    /// What it is called on the next page.
    pub(crate) brought: &'static str,
    /// What it is after each row.
    pub(crate) sums: Vec<String>,
}

/// Draws a table from [`Sheet::y`] on. The totals stand below its last row, on the same page,
/// and so does what is `below` them.
pub(crate) fn table(
    sheet: &mut Sheet,
    columns: &[Column],
    rows: &[Vec<Cell>],
    carried: &Carried,
    totals: &[Total],
    below: f32,
) {
    let places = places(sheet, columns, rows, carried, totals);
    let text = columns
        .iter()
        .position(|column| column.shape == Shape::Text);
    let text = text.unwrap_or(0);
    let below = below + totals.iter().map(Total::height).sum::<f32>();
    sheet.part(Role::Table, |sheet| {
        sheet.part(Role::Head, |sheet| head(sheet, columns, &places));
        sheet.part(Role::Body, |sheet| {
            for (index, row) in rows.iter().enumerate() {
                let cells: Vec<Vec<Line>> = row
                    .iter()
                    .zip(&places)
                    .map(|(cell, place)| set(sheet, place, cell))
                    .collect();
                let height =
                    cells.iter().map(|cell| height(cell)).fold(0.0, f32::max) + 2.0 * PADDING;
                let is_last = index + 1 == rows.len();
                if sheet.room() < height + if is_last { below } else { CARRIED } {
                    // Repeats what is above, so it is not read aloud.
                    sheet.decoration(|sheet| {
                        let sum = index.checked_sub(1).and_then(|last| carried.sums.get(last));
                        carry(sheet, &places, text, carried.forward, sum);
                        sheet.break_page();
                        head(sheet, columns, &places);
                        carry(sheet, &places, text, carried.brought, sum);
                    });
                }
                draw(sheet, &places, cells, height);
            }
        });
    });
    if let Some(last) = places.last() {
        draw_totals(sheet, totals, last);
    }
}

/// Where a column is, between its gutters.
struct Place {
    start: f32,
    width: f32,
    align: Align,
}

fn places(
    sheet: &Sheet,
    columns: &[Column],
    rows: &[Vec<Cell>],
    carried: &Carried,
    totals: &[Total],
) -> Vec<Place> {
    let widths: Vec<f32> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            if column.shape == Shape::Text {
                return 0.0;
            }
            let longest = rows
                .iter()
                .filter_map(|row| row.get(index))
                .max_by_key(|cell| cell.text.chars().count());
            let title = sheet.setter.line(column.title, TITLE).width;
            let longest = longest.map_or(0.0, |cell| {
                sheet.setter.line(&cell.text, Style::regular(SIZE)).width
            });
            // Letters of as many, but wider ones.
            let slack = if column.shape == Shape::Narrow {
                6.0
            } else {
                1.0
            };
            let widest = title.max(longest + slack).min(MOST_WIDTH);
            if index + 1 < columns.len() {
                return widest;
            }
            let totals = totals
                .iter()
                .map(|total| sheet.setter.line(&total.amount, total.style).width);
            let longest = carried.sums.iter().max_by_key(|sum| sum.chars().count());
            let carried = longest.map_or(0.0, |sum| sheet.setter.line(sum, SUM).width);
            totals.fold(widest.max(carried), f32::max)
        })
        .collect();
    let gutters = columns.iter().fold(0.0, |gutters, _| gutters + GUTTER);
    let rest = sheet.width() - gutters - widths.iter().sum::<f32>();
    let mut start = 0.0;
    columns
        .iter()
        .zip(widths)
        .map(|(column, width)| {
            let width = if column.shape == Shape::Text {
                rest
            } else {
                width
            };
            let place = Place {
                start: start + GUTTER / 2.0,
                width,
                align: if column.shape == Shape::Figures {
                    Align::Figures
                } else {
                    Align::Start
                },
            };
            start += width + GUTTER;
            place
        })
        .collect()
}

fn set(sheet: &Sheet, place: &Place, cell: &Cell) -> Vec<Line> {
    let lines = |text: &str, style| sheet.setter.lines(text, style, place.width, MOST_LINES);
    let mut set = lines(&cell.text, Style::regular(SIZE));
    if !cell.detail.is_empty() {
        set.extend(lines(
            &cell.detail,
            Style::regular(SMALL).in_colour(Colour::Grey),
        ));
    }
    set
}

fn height(lines: &[Line]) -> f32 {
    lines.iter().map(|line| line.style.leading()).sum()
}

fn head(sheet: &mut Sheet, columns: &[Column], places: &[Place]) {
    let height = CARRIED;
    sheet.area(0.0, sheet.width(), sheet.y, height, Colour::Tint);
    let base = sheet.y + PADDING + SIZE;
    sheet.part(Role::Row, |sheet| {
        for (column, place) in columns.iter().zip(places) {
            let title = sheet.setter.line(column.title, TITLE);
            sheet.part(Role::ColumnHead, |sheet| {
                sheet.line(title, place.start, place.width, place.align, base);
            });
        }
    });
    sheet.y += height;
}

/// Draws the sum of what is above, if anything is, in the column of text and the last one.
fn carry(sheet: &mut Sheet, places: &[Place], text: usize, name: &str, sum: Option<&String>) {
    let (Some(sum), Some(place), Some(last)) = (sum, places.get(text), places.last()) else {
        return;
    };
    let base = sheet.y + PADDING + SIZE;
    let name = sheet.setter.line(name, SUM);
    let sum = sheet.setter.line(sum, SUM);
    sheet.line(name, place.start, place.width, place.align, base);
    sheet.line(sum, last.start, last.width, last.align, base);
    sheet.y += CARRIED;
    sheet.rule(0.0, sheet.width(), sheet.y, Colour::Pale);
}

fn draw(sheet: &mut Sheet, places: &[Place], cells: Vec<Vec<Line>>, height: f32) {
    sheet.part(Role::Row, |sheet| {
        for (place, cell) in places.iter().zip(cells) {
            sheet.part(Role::Cell, |sheet| {
                let mut y = sheet.y + PADDING;
                for line in cell {
                    y += line.style.leading();
                    let base = y - line.style.size * 0.3;
                    sheet.line(line, place.start, place.width, place.align, base);
                }
            });
        }
    });
    sheet.y += height;
    sheet.rule(0.0, sheet.width(), sheet.y, Colour::Pale);
}

/// A line below the table, its amount below those of the last column.
pub(crate) struct Total {
    name: String,
    amount: String,
    style: Style,
}

impl Total {
    pub(crate) const fn plain(name: String, amount: String) -> Self {
        Self {
            name,
            amount,
            style: Style::regular(SIZE),
        }
    }

    pub(crate) const fn bold(name: String, amount: String) -> Self {
        Self {
            name,
            amount,
            style: Style::bold(10.5),
        }
    }

    fn height(&self) -> f32 {
        self.style.leading() + 3.0
    }
}

fn draw_totals(sheet: &mut Sheet, totals: &[Total], last: &Place) {
    // The names end where the amounts begin.
    let name_width = 180.0;
    let start = last.start - name_width - GUTTER;
    sheet.y += 6.0;
    sheet.part(Role::Table, |sheet| {
        sheet.part(Role::Body, |sheet| {
            for total in totals {
                let base = sheet.y + total.style.size * 1.1;
                sheet.part(Role::Row, |sheet| {
                    let name = sheet.setter.line(&total.name, total.style);
                    let amount = sheet.setter.line(&total.amount, total.style);
                    sheet.part(Role::RowHead, |sheet| {
                        sheet.line(name, start, name_width, Align::Start, base);
                    });
                    sheet.part(Role::Cell, |sheet| {
                        sheet.line(amount, last.start, last.width, last.align, base);
                    });
                });
                sheet.y += total.height();
            }
        });
    });
}

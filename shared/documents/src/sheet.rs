//! Paper: what stands where, on which page, and what it is.
//!
//! First everything is laid out as marks on pages, top down; then it is drawn, when the number of
//! pages is known. A document that runs from right to left is laid out in the same way: places count
//! from the side where lines begin.
//!
//! Each mark belongs to a tag that says what it is (a heading, a cell of a table), so that the
//! document can be read aloud; what only decorates or repeats is an artifact.

use std::num::NonZeroU16;

use krilla::{
    Document as Pdf, SerializeSettings,
    color::rgb,
    configure::{Accessibility, Archival, ConfigurationBuilder},
    destination::XyzDestination,
    geom::{PathBuilder, Point, Rect, Size, Transform},
    image::Image,
    metadata::{DateTime, Metadata, TextDirection},
    num::NormalizedF32,
    outline::{Outline, OutlineNode},
    page::PageSettings,
    paint::{Fill, FillRule},
    surface::Surface,
    tagging::{
        Artifact, ArtifactType, ContentTag, Identifier, ListNumbering, Node, SpanTag,
        TableHeaderScope, Tag, TagGroup, TagKind, TagTree,
    },
};

use crate::{
    Error,
    letterhead::Paper,
    text::{Colour, Line, Setter, Style},
};

/// 20 mm, as the windows of envelopes want it.
pub(crate) const MARGIN: f32 = 56.7;

/// A longer document is not read aloud by anybody, but would outgrow what a gateway lets through: its
/// tags are four fifths of it. So it has none, and is PDF/A-2u.
const MOST_LEAVES: usize = 12_000;

/// Where the text of a page ends, above its lower edge.
const FOOT: f32 = 68.0;

/// Where text goes within its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Where lines begin: left, or right in a document that runs from right to left.
    Start,
    /// Where lines end.
    End,
    /// Right, so that the decimals of numbers are below each other whichever way lines run.
    Figures,
}

/// Which way the lines of a document run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    LeftToRight,
    RightToLeft,
}

/// What a part of a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Paragraph,
    List,
    Item,
    Label,
    Value,
    Table,
    Head,
    Body,
    Row,
    ColumnHead,
    RowHead,
    Cell,
}

impl Role {
    fn tag(self) -> TagKind {
        match self {
            Self::Paragraph => Tag::P.into(),
            Self::List => Tag::L(ListNumbering::None).into(),
            Self::Item => Tag::LI.into(),
            Self::Label => Tag::Lbl.into(),
            Self::Value => Tag::LBody.into(),
            Self::Table => Tag::Table.into(),
            Self::Head => Tag::THead.into(),
            Self::Body => Tag::TBody.into(),
            Self::Row => Tag::TR.into(),
            Self::ColumnHead => Tag::TH(TableHeaderScope::Column).into(),
            Self::RowHead => Tag::TH(TableHeaderScope::Row).into(),
            Self::Cell => Tag::TD.into(),
        }
    }
}

/// What is drawn, with its place in points from the upper left corner.
enum Mark {
    Text {
        line: Line,
        left: f32,
        base: f32,
    },
    Area {
        area: Rect,
        colour: Colour,
    },
    Picture {
        image: Image,
        left: f32,
        top: f32,
        size: Size,
    },
}

/// A mark, and its place among what is read.
struct Placed {
    mark: Mark,
    /// None is an artifact.
    leaf: Option<usize>,
}

/// The tree of what is read: groups of groups, with the marks at the ends.
enum Part {
    Group(TagKind, Vec<Part>),
    Leaf(usize),
}

/// Pages in the making.
pub(crate) struct Sheet {
    pub(crate) setter: Setter,
    size: Size,
    direction: Direction,
    language: &'static str,
    pages: Vec<Vec<Placed>>,
    /// How far down the page is used.
    pub(crate) y: f32,
    leaves: usize,
    /// The groups that are open, the outermost first.
    open: Vec<(TagKind, Vec<Part>)>,
    parts: Vec<Part>,
    /// Whether what is drawn now is not read.
    decorating: bool,
}

/// What a document says about itself.
pub(crate) struct About {
    pub(crate) title: String,
    pub(crate) author: String,
    pub(crate) date: chrono::NaiveDate,
}

impl Sheet {
    pub(crate) fn new(
        setter: Setter,
        paper: Paper,
        direction: Direction,
        language: &'static str,
    ) -> Result<Self, Error> {
        let (width, height) = paper.points();
        Ok(Self {
            setter,
            size: Size::from_wh(width, height).ok_or(Error::Layout)?,
            direction,
            language,
            pages: vec![Vec::new()],
            y: 0.0,
            leaves: 0,
            open: Vec::new(),
            parts: Vec::new(),
            decorating: false,
        })
    }

    /// The width between the margins.
    pub(crate) fn width(&self) -> f32 {
        self.size.width() - 2.0 * MARGIN
    }

    /// What is left of the page.
    pub(crate) fn room(&self) -> f32 {
        self.size.height() - FOOT - self.y
    }

    pub(crate) fn break_page(&mut self) {
        self.pages.push(Vec::new());
        // Below the line that says what is continued.
        self.y = MARGIN + 14.0;
    }

    /// Everything that is drawn in `draw` is a part of this kind.
    pub(crate) fn part<T>(&mut self, role: Role, draw: impl FnOnce(&mut Self) -> T) -> T {
        self.group(role.tag(), draw)
    }

    /// The heading of the document.
    pub(crate) fn heading<T>(&mut self, title: &str, draw: impl FnOnce(&mut Self) -> T) -> T {
        let tag = Tag::Hn(NonZeroU16::MIN, Some(title.to_owned()));
        self.group(tag.into(), draw)
    }

    fn group<T>(&mut self, tag: TagKind, draw: impl FnOnce(&mut Self) -> T) -> T {
        if self.decorating {
            return draw(self);
        }
        self.open.push((tag, Vec::new()));
        let result = draw(self);
        if let Some((tag, parts)) = self.open.pop() {
            self.add(Part::Group(tag, parts));
        }
        result
    }

    /// What is drawn in `draw` is not read: it decorates, or repeats.
    pub(crate) fn decoration<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.decorating, true);
        let result = draw(self);
        self.decorating = before;
        result
    }

    fn add(&mut self, part: Part) {
        match self.open.last_mut() {
            Some((_, parts)) => parts.push(part),
            None => self.parts.push(part),
        }
    }

    fn place(&mut self, mark: Mark, is_read: bool) {
        let leaf = (is_read && !self.decorating).then(|| {
            let leaf = self.leaves;
            self.leaves += 1;
            self.add(Part::Leaf(leaf));
            leaf
        });
        if let Some(page) = self.pages.last_mut() {
            page.push(Placed { mark, leaf });
        }
    }

    /// The left edge of something of this width that begins here.
    fn left(&self, start: f32, width: f32) -> f32 {
        match self.direction {
            Direction::LeftToRight => MARGIN + start,
            Direction::RightToLeft => self.size.width() - MARGIN - start - width,
        }
    }

    /// Draws a line whose letters stand on `base`, within a width that begins at `start`.
    pub(crate) fn line(&mut self, line: Line, start: f32, width: f32, align: Align, base: f32) {
        let left = match align {
            Align::Start => self.left(start, line.width),
            Align::End => self.left(start + width - line.width, line.width),
            Align::Figures => self.left(start, width) + width - line.width,
        };
        // A line without letters has no place among what is read.
        if line.runs.is_empty() {
            return;
        }
        self.place(Mark::Text { line, left, base }, true);
    }

    /// Sets a text in lines from [`Sheet::y`] on, which ends below it.
    pub(crate) fn lines(
        &mut self,
        text: &str,
        style: Style,
        (start, width): (f32, f32),
        align: Align,
        at_most: usize,
    ) {
        for line in self.setter.lines(text, style, width, at_most) {
            self.y += style.leading();
            let base = self.y - style.size * 0.3;
            self.line(line, start, width, align, base);
        }
    }

    /// A thin line across.
    pub(crate) fn rule(&mut self, start: f32, width: f32, y: f32, colour: Colour) {
        self.area(start, width, y, 0.6, colour);
    }

    /// A rectangle in one colour.
    pub(crate) fn area(&mut self, start: f32, width: f32, y: f32, height: f32, colour: Colour) {
        if let Some(area) = Rect::from_xywh(self.left(start, width), y, width, height) {
            self.place(Mark::Area { area, colour }, false);
        }
    }

    /// A picture, and what it shows in words.
    pub(crate) fn picture(&mut self, image: Image, shows: &str, size: Size, y: f32) {
        let left = self.left(0.0, size.width());
        // PDF/UA wants words for every picture.
        let shows = if shows.trim().is_empty() {
            "Logo"
        } else {
            shows
        };
        let tag = Tag::Figure(Some(shows.to_owned()));
        self.group(tag.into(), |sheet| {
            sheet.place(
                Mark::Picture {
                    image,
                    left,
                    top: y,
                    size,
                },
                true,
            );
        });
    }

    /// Writes something on every page, such as its number.
    pub(crate) fn on_every_page(&mut self, mut draw: impl FnMut(&mut Self, usize, usize)) {
        let count = self.pages.len();
        let pages = std::mem::take(&mut self.pages);
        for (index, page) in pages.into_iter().enumerate() {
            self.pages.push(page);
            self.decoration(|sheet| draw(sheet, index, count));
        }
    }

    /// Draws the pages: the bytes of the PDF, the number of pages, and the letters that no font has.
    pub(crate) fn finish(self, about: About) -> Result<crate::Document, Error> {
        let is_tagged = self.leaves <= MOST_LEAVES;
        let configuration = ConfigurationBuilder::new();
        let configuration = if is_tagged {
            configuration
                .with_archival_validator(Archival::A2_A)
                .with_accessibility_validator(Accessibility::UA1)
        } else {
            configuration.with_archival_validator(Archival::A2_U)
        };
        let mut pdf = Pdf::new_with(SerializeSettings {
            configuration: configuration
                .finish()
                .map_err(|error| Error::Pdf(format!("{error:?}")))?,
            enable_tagging: is_tagged,
            ..SerializeSettings::default()
        });
        let pages = self.pages.len();
        let mut identifiers = vec![None; self.leaves];
        for placed in self.pages {
            let mut page = pdf.start_page_with(PageSettings::new(self.size));
            let mut surface = page.surface();
            for Placed { mark, leaf } in placed {
                let tag = match (&mark, leaf) {
                    (_, None) => ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout)),
                    (Mark::Text { .. }, Some(_)) => ContentTag::Span(SpanTag::empty()),
                    (_, Some(_)) => ContentTag::Other,
                };
                let identifier = surface.start_tagged(tag);
                draw(&mut surface, mark)?;
                surface.end_tagged();
                if let Some(leaf) = leaf {
                    identifiers[leaf] = Some(identifier);
                }
            }
            surface.finish();
            page.finish();
        }

        if is_tagged {
            let mut tree = TagTree::new();
            tree.children = nodes(self.parts, &identifiers);
            pdf.set_tag_tree(tree);
        }
        let mut outline = Outline::new();
        outline.push_child(OutlineNode::new(
            about.title.clone(),
            XyzDestination::new(0, Point::from_xy(0.0, 0.0)),
        ));
        pdf.set_outline(outline);
        let authors = Some(about.author).filter(|author| !author.is_empty());
        pdf.set_metadata(
            Metadata::new()
                .title(about.title)
                .authors(authors.into_iter().collect())
                .language(self.language.to_owned())
                .creation_date(date(about.date))
                .text_direction(match self.direction {
                    Direction::LeftToRight => TextDirection::LeftToRight,
                    Direction::RightToLeft => TextDirection::RightToLeft,
                }),
        );
        Ok(crate::Document {
            bytes: pdf
                .finish()
                .map_err(|error| Error::Pdf(format!("{error:?}")))?,
            pages,
            missing: self.setter.missing(),
        })
    }
}

/// The tree of what is read, without the groups that nothing was drawn in.
fn nodes(parts: Vec<Part>, identifiers: &[Option<Identifier>]) -> Vec<Node> {
    parts
        .into_iter()
        .filter_map(|part| match part {
            Part::Leaf(leaf) => identifiers[leaf].map(Node::from),
            Part::Group(tag, parts) => {
                let children = nodes(parts, identifiers);
                // An empty cell is still one of its row.
                let is_cell = matches!(tag, TagKind::TD(_) | TagKind::TH(_));
                (is_cell || !children.is_empty()).then(|| {
                    let mut group = TagGroup::new(tag);
                    group.children = children;
                    group.into()
                })
            }
        })
        .collect()
}

fn draw(surface: &mut Surface<'_>, mark: Mark) -> Result<(), Error> {
    match mark {
        Mark::Text { line, left, base } => {
            surface.set_fill(Some(fill(line.style.colour)));
            let mut x = left;
            for run in line.runs {
                let start = Point::from_xy(x, base);
                surface.draw_glyphs(
                    start,
                    &run.glyphs,
                    run.font,
                    &line.text,
                    line.style.size,
                    false,
                );
                x += run.width;
            }
        }
        Mark::Area { area, colour } => {
            let mut path = PathBuilder::new();
            path.push_rect(area);
            surface.set_fill(Some(fill(colour)));
            surface.draw_path(&path.finish().ok_or(Error::Layout)?);
        }
        Mark::Picture {
            image,
            left,
            top,
            size,
        } => {
            surface.push_transform(&Transform::from_translate(left, top));
            surface.draw_image(image, size);
            surface.pop();
        }
    }
    Ok(())
}

fn fill(colour: Colour) -> Fill {
    let colour = match colour {
        Colour::Black => rgb::Color::new(0x1a, 0x1a, 0x1a),
        Colour::Grey => rgb::Color::new(0x59, 0x59, 0x59),
        Colour::Red => rgb::Color::new(0xb0, 0x1c, 0x1c),
        Colour::Pale => rgb::Color::new(0xc8, 0xcd, 0xd3),
        Colour::Tint => rgb::Color::new(0xf0, 0xf2, 0xf5),
    };
    Fill {
        paint: colour.into(),
        opacity: NormalizedF32::ONE,
        rule: FillRule::default(),
    }
}

fn date(date: chrono::NaiveDate) -> DateTime {
    use chrono::Datelike as _;
    let small = |number: u32| u8::try_from(number).unwrap_or(1);
    DateTime::new(u16::try_from(date.year()).unwrap_or(9999))
        .month(small(date.month()))
        .day(small(date.day()))
        .hour(0)
        .minute(0)
        .second(0)
        .utc_offset_hour(0)
        .utc_offset_minute(0)
}

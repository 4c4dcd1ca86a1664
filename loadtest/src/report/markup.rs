//! Text and data as parts of a page. Whatever a server or a user has named may stand in a report, so nothing gets into
//! a page but through here.

use serde::Serialize;

/// The template with the parts that every page has; see [`fill`].
pub(crate) const TEMPLATE: &str = include_str!("page.html");
pub(crate) const STYLE: &str = include_str!("page.css");
pub(crate) const SCRIPT: &str = include_str!("page.js");

/// One run as the page's script reads it.
#[derive(Serialize)]
pub(crate) struct Run<'a> {
    /// `A` and `B` in a comparison.
    pub(crate) label: &'a str,
    pub(crate) outcome: &'a crate::outcome::Outcome,
}

/// The whole page.
pub(crate) fn page(title: &str, body: &str, runs: &[Run<'_>]) -> String {
    let (title, runs) = (escape(title), json(&runs));
    fill(TEMPLATE, &[("title", &title), ("css", STYLE), ("body", body), ("runs", &runs), ("js", SCRIPT)])
}

/// Text, for the inside of an element or of an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Data for a `<script type="application/json">`. What could end the script, or begin a comment in it, can only stand
/// in a string of the JSON, and there its number means the same.
pub(crate) fn json(data: &impl Serialize) -> String {
    let text = serde_json::to_string(data)
        .expect("every map of an outcome has strings as its keys, and nothing else of it can fail");
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Puts values into the `{{places}}` of a template, in one pass: a value that looks like a place stays what it is.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page =
        String::with_capacity(template.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let (name, after) = after.split_once("}}").expect("the template is a constant, and a test fills it");
        let (_, value) = values
            .iter()
            .find(|(place, _)| *place == name)
            .expect("the template is a constant, and a test fills it");
        page.push_str(value);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// A table whose first column names the row.
#[derive(Default)]
pub(crate) struct Table<'a> {
    /// `words` for text; figures stand to the right.
    pub(crate) class: &'a str,
    /// Empty: without one.
    pub(crate) head: &'a [&'a str],
    pub(crate) rows: Vec<TableRow>,
}

/// A row of a [`Table`]: its class and its cells, as text.
#[derive(Default)]
pub(crate) struct TableRow {
    pub(crate) class: &'static str,
    pub(crate) cells: Vec<String>,
    /// A line below the name.
    pub(crate) small: String,
}

impl From<Vec<String>> for TableRow {
    fn from(cells: Vec<String>) -> Self {
        Self { cells, ..Self::default() }
    }
}

impl Table<'_> {
    pub(crate) fn html(&self) -> String {
        let mut html = format!("<div class=\"wide\"><table class=\"{}\">", escape(self.class));
        if !self.head.is_empty() {
            let cells: String =
                self.head.iter().map(|name| format!("<th scope=\"col\">{}</th>", escape(name))).collect();
            html.push_str(&format!("<thead><tr>{cells}</tr></thead>"));
        }
        html.push_str("<tbody>");
        for row in &self.rows {
            html.push_str(&format!("<tr class=\"{}\">", row.class));
            // A row with its name alone heads those below it.
            let span = if row.cells.len() == 1 && self.head.len() > 1 {
                format!(" colspan=\"{}\"", self.head.len())
            } else {
                String::new()
            };
            for (index, cell) in row.cells.iter().enumerate() {
                let cell = escape(cell);
                if index > 0 {
                    html.push_str(&format!("<td>{cell}</td>"));
                } else if row.small.is_empty() {
                    html.push_str(&format!("<th scope=\"row\"{span}>{cell}</th>"));
                } else {
                    let small = escape(&row.small);
                    html.push_str(&format!("<th scope=\"row\"{span}>{cell}<small>{small}</small></th>"));
                }
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>");
        html
    }
}

/// A card with a heading; `inner` is markup.
pub(crate) fn card(heading: &str, inner: &str) -> String {
    format!("<section class=\"card\"><h3>{}</h3>{inner}</section>\n", escape(heading))
}

/// A place for one of the script's plots, and what stands there when it has nothing to draw.
pub(crate) fn plot(name: &str, empty: &str) -> String {
    format!(
        "<figure class=\"plot\" data-plot=\"{}\" data-empty=\"{}\"></figure>\n",
        escape(name),
        escape(empty)
    )
}

/// A figure to be seen from afar.
pub(crate) fn tile(class: &str, label: &str, value: &str, sub: &str) -> String {
    format!(
        "<li class=\"tile {}\"><div class=\"label\">{}</div><div class=\"value\">{}</div><div class=\"sub\">{}</div></li>\n",
        escape(class),
        escape(label),
        escape(value),
        escape(sub)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escape("</script><img src=x onerror=\"alert('&')\">"),
            "&lt;/script&gt;&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;"
        );
    }

    #[test]
    fn data_ends_no_script_and_is_the_same_when_read() {
        let title = "</script><!--<script>\u{2028}\u{2029}&{{js}}\"\\";
        let outcome = Outcome { title: title.into(), ..Outcome::default() };
        let data = json(&outcome);
        assert!(!data.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{data}");
        let read: Outcome = serde_json::from_str(&data).unwrap();
        assert_eq!(read.title, title);
    }

    #[test]
    fn a_value_is_no_place() {
        assert_eq!(fill("a {{x}} b {{y}}.", &[("x", "{{y}}"), ("y", "1")]), "a {{y}} b 1.");
    }

    #[test]
    fn the_page_has_a_place_for_everything() {
        let page = page("T & T", "<main></main>", &[]);
        assert!(page.contains("<title>T &amp; T</title>") && page.contains("<main></main>"));
        assert_eq!(page.matches("</script>").count(), 3, "a script of the page ends early");
        assert!(!SCRIPT.contains("<!--"));
    }
}

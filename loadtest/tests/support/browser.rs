//! A real browser without a window: headless Chromium. It is never skipped: without it the test fails, and says what to
//! install.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Names under which it is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// What the system prefers, as the browser is told.
    fn setting(self) -> &'static str {
        match self {
            Self::Dark => "--blink-settings=preferredColorScheme=0",
            Self::Light => "--blink-settings=preferredColorScheme=1",
        }
    }
}

/// A page in a folder of the tests, kept for whoever wants to look at it.
pub(crate) struct Page {
    folder: PathBuf,
    name: String,
}

/// What the page had become when its scripts had run, without the scripts themselves.
pub(crate) struct Dom {
    pub(crate) html: String,
}

impl Page {
    pub(crate) fn write(name: &str, html: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-pages");
        fs::create_dir_all(&folder).expect("the tests' folder can be written to");
        fs::write(folder.join(format!("{name}.html")), html).expect("the tests' folder can be written to");
        Self { folder, name: name.into() }
    }

    pub(crate) fn opened(&self, theme: Theme) -> Dom {
        let output = self.browse(theme, &["--dump-dom"]);
        let page = String::from_utf8_lossy(&output.stdout);
        let mut html = String::new();
        for part in page.split("<script") {
            html.push_str(part.split_once("</script>").map_or(part, |(_, behind)| behind));
        }
        Dom { html }
    }

    /// A picture of the whole page beside its file: `run-dark-1200.png`.
    pub(crate) fn picture(&self, theme: Theme, width: u32) {
        let height = if width < 600 { 7_600 } else { 3_700 };
        let path = self.folder.join(format!("{}-{}-{width}.png", self.name, theme.name()));
        let _ = fs::remove_file(&path);
        self.browse(
            theme,
            &[
                &format!("--screenshot={}", path.display()),
                &format!("--window-size={width},{height}"),
                "--hide-scrollbars",
            ],
        );
        let drawn = fs::metadata(&path).map(|file| file.len()).unwrap_or(0);
        assert!(drawn > 10_000, "{} is not a picture of a page", path.display());
    }

    fn browse(&self, theme: Theme, args: &[&str]) -> Output {
        // A profile of its own: tests run beside each other, and a browser waits for nobody's lock.
        let profile = tempfile::tempdir().expect("a folder for the browser's profile");
        let page = self.folder.join(format!("{}.html", self.name));
        // Of coreutils: a browser that hangs must not take the tests with it.
        let output = Command::new("timeout")
            .args(["60", browser()])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-sync", "--timeout=20000", theme.setting()])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(args)
            .arg(format!("file://{}", page.display()))
            .stdin(Stdio::null())
            .output()
            .expect("the browser was started before");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the browser failed, {} (124: it hung): {said}", output.status);
        output
    }
}

impl Dom {
    /// An attribute of the root element.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let root = &self.html[self.html.find("<html").expect("a page has a root")..];
        let tag = &root[..root.find('>').expect("a tag ends")];
        let (_, value) = tag.split_once(&format!("{name}=\""))?;
        Some(value.split('"').next().unwrap_or_default().to_owned())
    }

    /// The figure of this name, as it stands in the page.
    pub(crate) fn figure(&self, plot: &str) -> &str {
        let mark = format!("data-plot=\"{plot}\"");
        let figure = self.html.split("<figure").find(|figure| figure.contains(&mark)).unwrap_or_default();
        figure.split("</figure>").next().unwrap_or_default()
    }

    /// How many curves the plot of this name has; each has a path with at least one point.
    pub(crate) fn curves(&self, plot: &str) -> usize {
        let paths = self.figure(plot).split("<path").filter(|path| path.contains("class=\"curve"));
        paths.filter(|path| path.contains("d=\"M")).count()
    }
}

/// The browser's name on this machine.
fn browser() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| {
        let runs = |name: &str| {
            let version =
                Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        NAMES.into_iter().find(|name| runs(name)).unwrap_or_else(|| {
            panic!(
                "none of {NAMES:?} runs here; the tests of the report need Chromium, and a font for it to write \
                 with (on Debian: apt-get install chromium fonts-dejavu-core)"
            )
        })
    })
}

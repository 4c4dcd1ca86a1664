//! The page of a report in a real browser: the plots are drawn, and no script fails.

use loadtest::outcome;

#[path = "support/browser.rs"]
mod browser;
#[path = "support/sample.rs"]
mod sample;

use browser::{Page, Theme};
use loadtest::outcome::{Latency, Outcome};
use loadtest::report::{compare::Comparison, html};

/// Figures of a page, and what each is about.
const PLOTS: [&str; 7] = ["connections", "rates", "latency", "distribution", "cpu", "memory", "errors"];

#[test]
fn every_plot_is_drawn_in_light_and_in_dark() {
    let page = Page::write("run", &html::page(&sample::sample()));
    for theme in [Theme::Light, Theme::Dark] {
        let dom = page.opened(theme);
        assert_eq!(dom.attribute("data-errors"), None, "a script failed");
        assert_eq!(dom.attribute("data-shown").as_deref(), Some(theme.name()));
        assert_eq!(dom.attribute("data-plots").as_deref(), Some("7"));
        for plot in PLOTS {
            assert!(dom.curves(plot) >= 1, "{plot} has no curve");
        }
        assert_eq!(dom.curves("latency"), 3);
        assert_eq!(dom.curves("distribution"), 3);
        assert!(!dom.html.contains("NaN") && !dom.html.contains("undefined"), "a figure is not a number");
        for width in [1200, 420] {
            page.picture(theme, width);
        }
    }
}

/// What a reader does with mouse and keyboard.
const READER: &str = "<script>
const plot = (name) => document.querySelector(`[data-plot=${name}]`);
const canvas = plot('latency').querySelector('.canvas'), box = canvas.getBoundingClientRect();
canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width / 2, clientY: box.top + 80 }));
const key = new KeyboardEvent('keydown', { key: 'End', bubbles: true });
plot('distribution').querySelector('.canvas').dispatchEvent(key);
plot('cpu').querySelector('.legend button').click();
plot('memory').querySelector('details').open = true;
document.getElementById('theme').click();
</script></body>";

#[test]
fn a_page_can_be_read_with_mouse_and_keyboard() {
    let html = html::page(&sample::sample()).replace("</body>", READER);
    let dom = Page::write("read", &html).opened(Theme::Light);
    assert_eq!(dom.attribute("data-errors"), None, "a script failed");
    assert_eq!(dom.attribute("data-shown").as_deref(), Some("dark"), "the button changes the colours");
    let latency = dom.figure("latency");
    assert!(latency.contains("class=\"tip\"") && latency.contains(" · measure</div>"), "{latency}");
    assert!(dom.figure("rates").contains("class=\"cross\""), "the other plots show the same moment");
    assert!(dom.figure("distribution").contains("100% are this fast or faster"));
    assert_eq!(dom.curves("cpu"), 1, "a curve can be hidden");
    assert_eq!(dom.figure("memory").matches("<th scope=\"row\">").count(), 16, "every value is in the table");
}

#[test]
fn two_runs_share_their_plots() {
    let one = sample::sample();
    let mut other = one.clone();
    for tick in &mut other.timeline {
        tick.at *= 1.1;
        tick.p99 = tick.p99.map(|p99| p99 * 1.4);
        tick.answers = tick.answers * 9 / 10;
    }
    for latency in &mut other.latencies {
        latency.p99 *= 1.4;
        latency.distribution.iter_mut().for_each(|(_, millis)| *millis *= 1.4);
    }
    if let Some(server) = &mut other.server {
        server.bytes_per_session = Some(301.0);
    }
    other.errors.clear();
    other.plan.insert("rate".into(), 18_000.into());
    let page = Page::write("comparison", &Comparison::new("before.json", &one, "after.json", &other).page());
    for theme in [Theme::Light, Theme::Dark] {
        let dom = page.opened(theme);
        assert_eq!(dom.attribute("data-errors"), None, "a script failed");
        assert_eq!(dom.curves("connections"), 4);
        assert_eq!(dom.curves("latency"), 6);
        assert_eq!(dom.curves("distribution"), 6);
        page.picture(theme, 1200);
        page.picture(theme, 420);
    }
}

#[test]
fn what_is_missing_is_told_and_breaks_nothing() {
    let mut blind = sample::sample();
    blind.server = None;
    for tick in &mut blind.timeline {
        (tick.server_cpu, tick.server_memory, tick.server_online, tick.kernel_memory) =
            (None, None, None, None);
    }
    blind.timeline.truncate(1);
    blind.latencies = vec![Latency { name: "x".into(), count: 1, max: 3.0, ..Latency::default() }];
    for (name, outcome) in [("empty", Outcome::default()), ("blind", blind)] {
        let page = Page::write(name, &html::page(&outcome));
        let dom = page.opened(Theme::Light);
        assert_eq!(dom.attribute("data-errors"), None, "a script failed in {name}");
        assert!(dom.attribute("data-plots").is_some(), "the script of {name} did not come to its end");
        assert!(dom.html.contains("The server was not seen"));
        assert!(!dom.html.contains("NaN") && !dom.html.contains("Infinity"), "a figure of {name} is none");
        page.picture(Theme::Light, 1200);
    }
}

#[test]
fn a_hostile_name_stays_a_name() {
    let mut outcome = sample::sample();
    let hostile =
        "</script><img src=x onerror=\"document.documentElement.dataset.errors='owned'\">{{js}}\u{2028}";
    outcome.title = hostile.into();
    outcome.latencies[0].name = hostile.into();
    outcome.timeline.iter_mut().for_each(|tick| tick.phase = hostile.into());
    let dom = Page::write("hostile", &html::page(&outcome)).opened(Theme::Light);
    assert_eq!(dom.attribute("data-errors"), None);
    assert_eq!(dom.attribute("data-plots").as_deref(), Some("7"));
    assert!(!dom.html.contains("<img"), "an element of a stranger is in the page");
}

//! What a User-Agent says about a client: browser, operating system, type of device.
//!
//! Coarse on purpose: five browsers, five systems, three types. User-Agents imitate each other (Edge says Chrome,
//! Chrome says Safari, everyone says Mozilla), so the order of the questions is the whole art. An iPad asks for
//! desktop pages as a Macintosh does, and cannot be told from one.

use http::HeaderMap;
use http::header::USER_AGENT;
use schema::Device;
use schema::device::{Browser, Kind, Os};

/// What the headers of a request say of its client.
#[must_use]
pub fn of_headers(headers: &HeaderMap) -> Device {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    from_user_agent(agent.unwrap_or_default())
}

/// Reads a User-Agent. What does not say what it is counts as a desktop.
#[must_use]
pub fn from_user_agent(agent: &str) -> Device {
    let os = system(agent);
    Device { browser: browser(agent, os), os, kind: kind(agent, os) }
}

fn says(agent: &str, words: &[&str]) -> bool {
    words.iter().any(|word| agent.contains(word))
}

fn system(agent: &str) -> Os {
    if says(agent, &["Windows"]) {
        Os::Windows
    } else if says(agent, &["iPhone", "iPad", "iPod"]) {
        Os::Ios
    } else if says(agent, &["Android"]) {
        Os::Android
    } else if says(agent, &["Macintosh", "Mac OS X"]) {
        Os::MacOs
    } else if says(agent, &["Linux", "X11", "CrOS"]) {
        Os::Linux
    } else {
        Os::Unknown
    }
}

fn browser(agent: &str, os: Os) -> Browser {
    if says(agent, &["Edg/", "EdgA/", "EdgiOS/", "Edge/"]) {
        Browser::Edge
    } else if says(agent, &["OPR/", "OPT/", "OPiOS/", "Opera/", "Opera "]) {
        Browser::Opera
    } else if says(agent, &["SamsungBrowser/", "YaBrowser/", "UCBrowser/", "Vivaldi/", "SeaMonkey/"]) {
        Browser::Unknown
    } else if says(agent, &["Firefox/", "FxiOS/"]) {
        Browser::Firefox
    } else if says(agent, &["Chrome/", "CriOS/", "Chromium/"]) {
        Browser::Chrome
    } else if says(agent, &["Safari/"]) && says(agent, &["Version/"]) && os != Os::Android {
        Browser::Safari
    } else {
        Browser::Unknown
    }
}

fn kind(agent: &str, os: Os) -> Kind {
    if says(agent, &["iPad", "Tablet", "Kindle", "Silk/"]) && !says(agent, &["Tablet PC"]) {
        Kind::Tablet
    } else if says(agent, &["Mobi", "iPhone", "iPod"]) {
        Kind::Mobile
    } else if os == Os::Android && !says(agent, &["TV", "CrKey"]) && agent.starts_with("Mozilla/") {
        // An Android browser says Mobile on a telephone, and nothing on a tablet.
        Kind::Tablet
    } else if os == Os::Android && !says(agent, &["TV", "CrKey"]) {
        Kind::Mobile
    } else {
        Kind::Desktop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const AGENTS: &[(&str, &str, &str, &str)] = &[
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "Chrome", "Windows", "desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "Chrome", "macOS", "desktop"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "Chrome", "Linux", "desktop"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "Chrome", "Linux", "desktop"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36", "Chrome", "Android", "mobile"),
        ("Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "Chrome", "Android", "tablet"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/124.0.6367.88 Mobile/15E148 Safari/604.1", "Chrome", "iOS", "mobile"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/124.0.0.0 Safari/537.36", "Chrome", "Linux", "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:125.0) Gecko/20100101 Firefox/125.0", "Firefox", "Windows", "desktop"),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0", "Firefox", "Linux", "desktop"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0", "Firefox", "Android", "mobile"),
        ("Mozilla/5.0 (Android 14; Tablet; rv:125.0) Gecko/125.0 Firefox/125.0", "Firefox", "Android", "tablet"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 14_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/125.0 Mobile/15E148 Safari/605.1.15", "Firefox", "iOS", "mobile"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4_1) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Safari/605.1.15", "Safari", "macOS", "desktop"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Mobile/15E148 Safari/604.1", "Safari", "iOS", "mobile"),
        ("Mozilla/5.0 (iPad; CPU OS 12_5_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1", "Safari", "iOS", "tablet"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.2478.51", "Edge", "Windows", "desktop"),
        ("Mozilla/5.0 (Linux; Android 10; HD1913) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.6367.82 Mobile Safari/537.36 EdgA/124.0.2478.50", "Edge", "Android", "mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 EdgiOS/124.0.2478.50 Mobile/15E148 Safari/604.1", "Edge", "iOS", "mobile"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763", "Edge", "Windows", "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Safari/537.36 OPR/109.0.0.0", "Opera", "Windows", "desktop"),
        ("Mozilla/5.0 (Linux; Android 10; VOG-L29) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Mobile Safari/537.36 OPR/76.2.4027.73374", "Opera", "Android", "mobile"),
        ("Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18", "Opera", "Windows", "desktop"),
        ("Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36", "Unknown", "Android", "mobile"),
        ("Mozilla/5.0 (Linux; U; Android 4.0.3; de-de; GT-I9100) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30", "Unknown", "Android", "mobile"),
        ("Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063", "Edge", "Windows", "mobile"),
        ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)", "Unknown", "Windows", "desktop"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", "Unknown", "iOS", "mobile"),
        ("Mozilla/5.0 (Linux; Android 9; BRAVIA 4K Android TV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "Chrome", "Android", "desktop"),
        ("Dalvik/2.1.0 (Linux; U; Android 13; Pixel 6 Build/TQ3A)", "Unknown", "Android", "mobile"),
        ("okhttp/4.12.0", "Unknown", "Unknown", "desktop"),
        ("curl/8.5.0", "Unknown", "Unknown", "desktop"),
        ("", "Unknown", "Unknown", "desktop"),
    ];

    #[test]
    fn real_user_agents() {
        for (agent, browser, system, device_type) in AGENTS {
            let device = from_user_agent(agent);
            let named = (device.browser.as_str(), device.os.as_str(), device.kind.as_str());
            assert_eq!(named, (*browser, *system, *device_type), "{agent}");
        }
    }
}

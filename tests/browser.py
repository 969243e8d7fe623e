"""What the tests of the pages ask a browser."""

import json


def find(browser, css):
    return browser.find_elements("css selector", css)


def requested(browser):
    """The addresses that were asked for since its log was last read."""
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }

# browser.sh - a headless Chromium that is driven over HTTP. Sourced by page.sh after ../cluster/lib.sh.

# A profile of its own for every session; root may not have the sandbox.
browser_options="\"--headless=new\",\"--disable-dev-shm-usage\",\"--disable-gpu\",\"--hide-scrollbars\",\"--window-size=1280,900\""
[ "$(id -u)" != 0 ] || browser_options="$browser_options,\"--no-sandbox\""

driver_says() { [ -s driver.log ] && driver_port=$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' driver.log) && [ -n "$driver_port" ]; }

# drive METHOD PATH [JSON]: the driver's answer is in the file `driven`.
drive() {
    drive_method=$1 drive_path=$2; shift 2
    curl -s -m 90 -X "$drive_method" ${1:+-H 'Content-Type: application/json' -d "$1"} "http://127.0.0.1:$driver_port$drive_path" >driven
}

browser_start() {
    start driver.log chromedriver --port=0
    driver=$started
    wait_for 60 driver_says || return 1
    drive POST /session "{\"capabilities\":{\"alwaysMatch\":{\"goog:loggingPrefs\":{\"browser\":\"ALL\"},\"goog:chromeOptions\":{\"args\":[$browser_options]}}}}"
    session=/session/$(sed -n 's/.*"sessionId":"\([^"]*\)".*/\1/p' driven)
    [ "$session" != /session/ ]
}

browser_end() { drive DELETE "$session"; kill9 "$driver"; }

# cdp COMMAND PARAMETERS: a command of the DevTools protocol.
cdp() { drive POST "$session/goog/cdp/execute" "{\"cmd\":\"$1\",\"params\":$2}"; }

# size WIDTH HEIGHT: of the page; narrow ones are phones.
size() {
    width=$1 height=$2
    cdp Emulation.setDeviceMetricsOverride "{\"width\":$1,\"height\":$2,\"deviceScaleFactor\":1,\"mobile\":$([ "$1" -lt 600 ] && echo true || echo false)}"
}
# scheme light|dark
scheme() { cdp Emulation.setEmulatedMedia "{\"features\":[{\"name\":\"prefers-color-scheme\",\"value\":\"$1\"}]}"; }
visit() { drive POST "$session/url" "{\"url\":\"$1\"}"; }

# js CODE: what it returns (JSON) is in $value. The code is one of the page, between double quotes of JSON.
js() {
    js_code=$(printf '%s' "$1" | tr '\n' ' ' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g')
    drive POST "$session/execute/sync" "{\"script\":\"$js_code\",\"args\":[]}"
    value=$(sed -e 's/^{"value"://' -e 's/}$//' driven)
}
# true_in_page CODE: the expression is true.
true_in_page() { js "return $1"; [ "$value" = true ] || { echo "$1: $value"; return 1; }; }
# look NAME EXPRESSION: a check of the page as it stands, or as it stands soon.
look() {
    : >output
    if wait_for 30 true_in_page "$2" >/dev/null; then pass "$1"
    else
        : >output
        fail "$1" "$2: $value"
    fi
}

# press KEY [TIMES]
press() {
    press_times=${2:-1}
    while [ "$press_times" -gt 0 ]; do
        for press_type in rawKeyDown keyUp; do
            case $1 in
            Tab) press_code=9 ;; Enter) press_code=13 ;; Escape) press_code=27 ;; ArrowLeft) press_code=37 ;; ArrowRight) press_code=39 ;; *) press_code=0 ;;
            esac
            cdp Input.dispatchKeyEvent "{\"type\":\"$press_type\",\"key\":\"$1\",\"code\":\"$1\",\"windowsVirtualKeyCode\":$press_code}"
            # Buttons are pressed by the character that Enter makes.
            [ "$1" != Enter ] || [ $press_type != rawKeyDown ] || cdp Input.dispatchKeyEvent "{\"type\":\"char\",\"key\":\"Enter\",\"text\":\"\\r\"}"
        done
        press_times=$((press_times - 1))
    done
}

# picture NAME: of the whole page, where pictures are wanted.
picture() {
    [ -n "$SCREENSHOTS" ] || return 0
    picture_height=$height
    js 'return Math.min(6000, document.documentElement.scrollHeight)'
    size "$width" "$value"
    sleep 0.5 # plots are drawn when they come into view
    cdp Page.captureScreenshot '{"format":"png"}'
    size "$width" "$picture_height"
    sed -n 's/.*"data":"\([^"]*\)".*/\1/p' driven | base64 -d >"$SCREENSHOTS/$1.png"
}

# silent_console: nothing was complained of since the last call. What was is printed.
silent_console() {
    drive POST "$session/se/log" '{"type":"browser"}'
    ! grep -o '"level":"\(SEVERE\|WARNING\)"[^}]*' driven
}

// Asks with HEAD, which wakes nothing, for three minutes while the page is visible. Then the app takes
// the page's place by a reload. Reloads that return here within a minute are counted, and the fifth is the
// last.
(() => {
    'use strict';
    const line = document.getElementById('again'), key = 'boxedge-again', end = Date.now() + 180000;
    let wait = 1000, past;
    try {
        past = JSON.parse(sessionStorage.getItem(key)) || {n: 0, at: 0};
    } catch (e) {
        return;
    }
    if (Date.now() - past.at > 60000) past.n = 0;
    if (past.n >= 5) return;
    line.hidden = false;

    function open() {
        try {
            sessionStorage.setItem(key, JSON.stringify({n: past.n + 1, at: Date.now()}));
        } catch (e) {
            return;
        }
        location.reload();
    }

    async function look() {
        if (Date.now() > end) {
            line.textContent = 'The app has not answered for three minutes. Reload this page.';
            return;
        }
        if (!document.hidden) try {
            const answer = await fetch(location.href, {
                method: 'HEAD', cache: 'no-store', redirect: 'manual', headers: {'X-Box-No-Wake': '1'},
            });
            if (![502, 503, 504].includes(answer.status)) return open();
        } catch (e) {}
        wait = Math.min(wait * 1.3, 5000);
        setTimeout(look, wait);
    }

    setTimeout(look, wait);
})();

// The app takes the page's place by a reload: the same URL, with its fragment, and no entry in the history.
// If that gives this page again, at least a second passes before the next reload.
(() => {
    'use strict';
    const at = id => document.getElementById(id), wake = at('wake');
    const names = ['resuming', 'starting', 'listening'];
    const still = matchMedia('(prefers-reduced-motion:reduce)').matches;
    let began = performance.now() - wake.dataset.elapsed, over = false, shown = '', events = null;

    function text(ms) {
        const s = ms / 1000;
        return s < 60 ? s.toFixed(still || s >= 10 ? 0 : 1) + ' s'
                      : Math.floor(s / 60) + ' min ' + Math.floor(s % 60) + ' s';
    }

    function tick() {
        if (!over) at('elapsed').textContent = text(performance.now() - began);
    }

    function stage(name) {
        const n = names.indexOf(name);
        if (n < 0 || name === shown) return;
        shown = name;
        document.querySelectorAll('.stages li').forEach((li, i) => {
            li.className = i < n ? 'done' : i === n ? 'now' : '';
            if (i === n) {
                li.setAttribute('aria-current', 'step');
                at('said').textContent = li.textContent;
            } else {
                li.removeAttribute('aria-current');
            }
        });
    }

    function again() {
        const last = performance.getEntriesByType('navigation')[0];
        const wait = last && last.type === 'reload' ? Math.max(0, 1000 - performance.now()) : 0;
        setTimeout(() => location.reload(), wait);
    }

    function end() {
        over = true;
        if (events) events.close();
    }

    function open() {
        if (over) return;
        end();
        stage('listening');
        again();
    }

    function offer(s) {
        const link = at('again'), left = Math.ceil((s - performance.now()) / 1000);
        link.setAttribute('aria-disabled', String(left > 0));
        link.textContent = left > 0 ? 'Try again in ' + left + ' s' : 'Try again';
        if (left > 0) setTimeout(() => offer(s), 250);
    }

    function failed(why, seconds) {
        if (over) return;
        end();
        at('waiting').hidden = true;
        at('failed').hidden = false;
        at('title').textContent = document.title = 'This box did not wake';
        at('why').textContent = why;
        offer(performance.now() + seconds * 1000);
    }

    // The link itself shows that a person follows it.
    if (wake.dataset.state === 'asleep') return;
    at('again').addEventListener('click', event => {
        event.preventDefault();
        if (event.currentTarget.getAttribute('aria-disabled') !== 'true') location.reload();
    });
    if (wake.dataset.state === 'failed') {
        over = true;
        offer(wake.dataset.retry * 1000);
        return;
    }
    // A designer's look at the file: no edge sends events.
    if (location.protocol === 'file:') return;
    stage(wake.dataset.stage);
    setInterval(tick, still ? 1000 : 100);
    tick();

    function listen(name, act) {
        events.addEventListener(name, event => act(JSON.parse(event.data)));
    }

    events = new EventSource('/.well-known/boxedge/wake');
    listen('stage', e => {
        began = Math.min(began, performance.now() - e.elapsed_ms);
        stage(e.stage);
    });
    listen('ready', open);
    listen('failed', e => failed(e.sentence, e.retry_after));
    listen('asleep', () => failed('The box is asleep, and no request is waking it.', 0));
    // Refused (the session has ended, the preview is gone): the answer to a reload has the reason.
    events.onerror = () => {
        if (over || events.readyState !== 2) return;
        end();
        setTimeout(() => location.reload(), 3000);
    };
    addEventListener('pageshow', event => {
        if (event.persisted) location.reload();
    });
})();

// Every two seconds the page reads the metrics and the processes of the edge, and draws what has changed. Names
// in them may come from a stranger: they become text only.
(() => {
    'use strict';
    const EVERY_MS = 2000, KEEP_MS = 600000, LATENCY_SAMPLES = 6, WAIT_MS = 8000;
    const WIDTH = 600, HEIGHT = 120;
    const at = id => document.getElementById(id);

    // ---- numbers as text ----

    function number(value) {
        if (value === null || value === undefined) return '\u2013';
        const units = ['', 'k', 'M', 'G', 'T'];
        let unit = 0;
        for (; value >= 999.5 && unit + 1 < units.length; unit++) value /= 1000;
        return value.toFixed(value < 9.95 && (unit !== 0 || value % 1 !== 0) ? 1 : 0) + units[unit];
    }

    function rate(value) {
        return value === null || value === undefined ? '\u2013' : number(value) + '/s';
    }

    function seconds(value) {
        if (value === null || value === undefined) return '\u2013';
        return value < 0.9995 ? (value * 1000).toFixed(value < 0.00995 ? 1 : 0) + ' ms'
                              : value.toFixed(value < 9.95 ? 1 : 0) + ' s';
    }

    function duration(s) {
        if (s >= 86400) return Math.floor(s / 86400) + ' d ' + Math.floor(s / 3600 % 24) + ' h';
        if (s >= 3600) return Math.floor(s / 3600) + ' h ' + Math.floor(s / 60 % 60) + ' min';
        return s >= 60 ? Math.floor(s / 60) + ' min' : Math.floor(s) + ' s';
    }

    function bytes(value) {
        const units = ['B', 'KiB', 'MiB', 'GiB'];
        let unit = 0;
        for (; value >= 1024 && unit + 1 < units.length; unit++) value /= 1024;
        return value.toFixed(unit !== 0 && value < 9.95 ? 1 : 0) + ' ' + units[unit];
    }

    // ---- metrics ----

    // Families by their names, without "boxedge_": each is a list of {labels, value}.
    function parse(text) {
        const families = new Map();
        for (const line of text.split('\n')) {
            const found = /^boxedge_([a-z0-9_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
            if (!found) continue;
            const labels = {};
            for (const label of (found[2] || '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g))
                labels[label[1]] = label[2].replace(/\\(.)/g, (_, c) => c === 'n' ? '\n' : c);
            if (!families.has(found[1])) families.set(found[1], []);
            families.get(found[1]).push({labels, value: Number(found[3])});
        }
        return families;
    }

    function sum(sample, name, wanted) {
        let total = 0;
        for (const one of sample.families.get(name) || [])
            if (!wanted || wanted(one.labels)) total += one.value;
        return total;
    }

    // A counter that fell belongs to an edge that has started anew: its rate is not known.
    function perSecond(now, before, name, wanted) {
        if (!before) return null;
        const grown = sum(now, name, wanted) - sum(before, name, wanted);
        return grown < 0 ? null : grown * 1000 / (now.time - before.time);
    }

    // The time within which these shares of the requests since `before` ended.
    function percentiles(now, before, name, shares) {
        const grown = new Map();
        for (const [sample, sign] of before ? [[now, 1], [before, -1]] : [])
            for (const {labels, value} of sample.families.get(name + '_bucket') || [])
                grown.set(labels.le, (grown.get(labels.le) || 0) + sign * value);
        const bounds = [...grown].map(([le, count]) => [le === '+Inf' ? Infinity : Number(le), count])
            .sort((a, b) => a[0] - b[0]);
        const total = bounds.length ? bounds[bounds.length - 1][1] : 0;
        if (!(total > 0)) return shares.map(() => null);
        return shares.map(share => {
            let low = 0, below = 0;
            for (const [bound, count] of bounds) {
                if (count >= share * total && count > below)
                    return bound === Infinity ? low : low + (bound - low) * (share * total - below) / (count - below);
                if (bound !== Infinity) low = bound;
                below = count;
            }
            return low;
        });
    }

    const limits = [
        ['API plans', 'limited_total'],
        ['No free API server', 'api_queue_refused_total'],
        ['No connection to a box', 'origin_queue_refused_total'],
        ['Memory or connections', 'shed_total'],
        ['limits.streams', 'http2_streams_refused_total'],
        ['Closed at accept', 'connections_refused_total'],
        ['No descriptor', 'descriptor_shortages_total'],
        ['Addresses locked out', 'access_lockouts_total'],
    ];

    // What the charts show of a sample.
    function figures(now, before, oldest) {
        const family = name => perSecond(now, before, name);
        const [p50, p95, p99] = percentiles(now, oldest, 'request_duration_seconds', [0.5, 0.95, 0.99]);
        const status = first => perSecond(now, before, 'requests_total', labels => labels.code[0] === first);
        return {
            p50, p95, p99,
            requests: family('requests_total'),
            local: family('responses_local_total'),
            failed5: status('5'),
            failed4: status('4'),
            own: family('errors_total'),
            waits: family('wake_waits_total'),
            resumes: family('wake_resumes_total'),
            failures: family('wake_failures_total'),
            open: sum(now, 'exchanges_open'),
            tunnels: sum(now, 'tunnels_open'),
            connections: sum(now, 'connections_open'),
            refused: before ? limits.reduce((all, limit) => all + (family(limit[1]) || 0), 0) : null,
        };
    }

    // ---- charts ----

    function svg(name, attributes) {
        const element = document.createElementNS('http://www.w3.org/2000/svg', name);
        for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
        return element;
    }

    function element(name, className, text) {
        const made = document.createElement(name);
        if (className) made.className = className;
        if (text !== undefined) made.textContent = text;
        return made;
    }

    const classes = ['one', 'two', 'three'];
    const charts = [
        {id: 'requests', text: rate, none: 'No requests in this time',
         series: [['requests', 'All'], ['local', 'Answered by the edge itself']]},
        {id: 'failed', text: rate, none: 'No failed requests in this time',
         series: [['failed5', 'Status 5xx'], ['failed4', 'Status 4xx'], ['own', 'Errors of the edge']]},
        {id: 'latency', text: seconds, none: 'No requests in this time',
         series: [['p95', '95 % within'], ['p99', '99 %'], ['p50', '50 %']]},
        {id: 'wakes', text: rate, none: 'No wakes in this time',
         series: [['resumes', 'Resumed'], ['failures', 'Failed'], ['waits', 'Requests that waited']]},
        {id: 'open', text: number, none: 'Nothing is open',
         series: [['open', 'Requests'], ['tunnels', 'WebSockets'], ['connections', 'Connections']]},
        {id: 'limits', text: rate, none: 'No limit has refused anything in this time',
         series: [['refused', 'Refused']]},
    ];
    let points = [], hovered = null, span = 60000;

    function build(chart) {
        const legend = element('ul', 'legend'), plot = element('div', 'plot'), axis = element('div', 'axis');
        const picture = svg('svg', {viewBox: '0 0 ' + WIDTH + ' ' + HEIGHT, preserveAspectRatio: 'none', role: 'img'});
        chart.values = chart.series.map(([, name], i) => {
            const item = element('li'), key = svg('svg', {viewBox: '0 0 24 10', 'aria-hidden': 'true'});
            key.append(svg('line', {x1: 0, y1: 5, x2: 24, y2: 5, class: 'series ' + classes[i]}));
            const value = element('b');
            item.append(key, name + ' ', value);
            legend.append(item);
            return value;
        });
        for (const y of [0, HEIGHT / 2, HEIGHT])
            picture.append(svg('line', {x1: 0, y1: y, x2: WIDTH, y2: y, class: 'rule'}));
        chart.area = svg('path', {class: 'area'});
        chart.paths = chart.series.map((_, i) => svg('path', {class: 'series ' + classes[i]}));
        chart.mark = svg('line', {y1: 0, y2: HEIGHT, class: 'mark', visibility: 'hidden'});
        picture.append(chart.area, ...chart.paths.slice().reverse(), chart.mark);
        chart.picture = picture;
        chart.top = element('span', 'top');
        chart.empty = element('span', 'none', chart.none);
        chart.when = element('span', '', 'now');
        plot.append(picture, chart.top, chart.empty);
        chart.from = element('span');
        axis.append(chart.from, chart.when);
        at('chart-' + chart.id).append(legend, plot, axis);
        plot.addEventListener('pointermove', event => hover(event, plot));
        plot.addEventListener('pointerleave', () => hover(null));
    }

    function hover(event, plot) {
        hovered = null;
        if (event && points.length) {
            const box = plot.getBoundingClientRect(), last = points[points.length - 1].time;
            const time = last - span * (1 - (event.clientX - box.left) / box.width);
            hovered = points.reduce((best, p) => Math.abs(p.time - time) < Math.abs(best.time - time) ? p : best);
        }
        draw();
    }

    // The next of 1, 2, 5, 10, 20... above the value.
    function roundUp(value) {
        const power = 10 ** Math.floor(Math.log10(value));
        return [1, 2, 5, 10].map(step => step * power).find(step => step >= value * 0.9999);
    }

    const x = time => (WIDTH * (1 - (points[points.length - 1].time - time) / span)).toFixed(1);

    // A line for each run of known values; with `ground` as an area down to the ground.
    function path(key, max, ground) {
        let text = '', first = null, last = null;
        const end = () => {
            if (last !== null) text += ground ? 'L' + last + ' ' + HEIGHT + 'L' + first + ' ' + HEIGHT + 'Z' : 'h.01';
            first = last = null;
        };
        for (const point of points) {
            const value = point.is[key];
            if (value === null) {
                end();
                continue;
            }
            last = x(point.time);
            text += (first === null ? 'M' : 'L') + last + ' ' + (HEIGHT * (1 - value / max)).toFixed(1);
            if (first === null) first = last;
        }
        end();
        return text;
    }

    function drawChart(chart) {
        const keys = chart.series.map(([key]) => key);
        const highest = Math.max(0, ...points.flatMap(point => keys.map(key => point.is[key] || 0)));
        const max = highest > 0 ? roundUp(highest) : 1;
        const shown = hovered || points[points.length - 1];
        keys.forEach((key, i) => {
            chart.paths[i].setAttribute('d', highest > 0 ? path(key, max, false) : '');
            chart.values[i].textContent = chart.text(shown.is[key]);
        });
        chart.area.setAttribute('d', highest > 0 ? path(keys[0], max, true) : '');
        chart.top.textContent = highest > 0 ? chart.text(max) : '';
        chart.empty.hidden = highest > 0;
        chart.mark.setAttribute('visibility', hovered ? 'visible' : 'hidden');
        for (const end of ['x1', 'x2']) chart.mark.setAttribute(end, x(shown.time));
        chart.from.textContent = span / 60000 + ' min ago';
        chart.when.textContent = hovered ? 'at ' + new Date(hovered.time).toLocaleTimeString() : 'now';
        chart.picture.setAttribute('aria-label', 'Chart of the last ' + span / 60000 + ' min. Now: ' +
            chart.series.map(([key, name]) => name + ' ' + chart.text(points[points.length - 1].is[key])).join(', ') +
            '. Highest value: ' + chart.text(highest));
    }

    // The charts begin with one minute and grow to ten.
    function draw() {
        if (!points.length) return;
        const age = points[points.length - 1].time - points[0].time;
        span = [60000, 120000, 300000, KEEP_MS].find(length => age <= length) || KEEP_MS;
        charts.forEach(drawChart);
    }

    // ---- tables ----

    // Cells are texts, or {text, className}; the first is the head of its row.
    function fill(id, rows) {
        const body = document.querySelector('#' + id + ' tbody');
        body.replaceChildren(...rows.map(cells => {
            const row = element('tr');
            cells.forEach((cell, i) => {
                const made = element(i === 0 ? 'th' : 'td', cell.className, cell.text === undefined ? cell : cell.text);
                if (i === 0) made.scope = 'row';
                if (cell.inside) made.replaceChildren(cell.inside);
                row.append(made);
            });
            return row;
        }));
        const empty = at(id + '-empty');
        if (!empty) return;
        empty.hidden = rows.length !== 0;
        at(id).hidden = rows.length === 0;
    }

    const text = (value, isBad) => ({text: value, className: isBad ? 'text bad' : 'text'});
    const wide = value => ({text: value, className: 'wide'});

    function showErrors(now, before) {
        const codes = (now.families.get('errors_total') || []).filter(one => one.value > 0)
            .map(({labels, value}) => ({code: labels.code, value,
                now: perSecond(now, before, 'errors_total', l => l.code === labels.code)}))
            .sort((a, b) => b.now - a.now || b.value - a.value).slice(0, 12);
        fill('errors', codes.map(one => [one.code, rate(one.now), number(one.value)]));
    }

    function showLimits(now, before) {
        const rows = limits.map(([name, metric]) =>
            [name, rate(perSecond(now, before, metric)), number(sum(now, metric))]);
        for (const {labels, value} of now.families.get('plan_refusals_total') || [])
            rows.push(['Plan \u201c' + labels.plan + '\u201d',
                       rate(perSecond(now, before, 'plan_refusals_total', l => l.plan === labels.plan)), number(value)]);
        rows.push(['Memory held by requests', bytes(sum(now, 'buffered_bytes')), '']);
        fill('limits', rows);
    }

    function showServers(now, before) {
        const value = (name, of) => sum(now, 'upstream_server_' + name, of);
        fill('servers', (now.families.get('upstream_server_up') || []).map(({labels, value: up}) => {
            const same = l => l.upstream === labels.upstream && l.server === labels.server && l.slot === labels.slot;
            const state = value('drained', same) ? 'drained' : value('ejected', same) ? 'ejected' : up ? 'up' : 'down';
            const failures = perSecond(now, before, 'upstream_server_failures_total', same);
            const first = value('latency_seconds', same);
            return [labels.upstream + ' / ' + labels.server, text(state, state === 'down' || state === 'ejected'),
                    rate(perSecond(now, before, 'upstream_server_requests_total', same)),
                    failures > 0 ? {text: rate(failures), className: 'bad'} : rate(failures),
                    wide(number(value('in_flight', same))), wide(first > 0 ? seconds(first) : '\u2013')];
        }));
    }

    function showBoxes(states) {
        const all = Object.values(states).reduce((sum, count) => sum + count, 0);
        fill('boxes', all === 0 ? [] : Object.entries(states).map(([state, count]) => {
            const meter = element('meter');
            meter.max = all;
            meter.value = count;
            meter.setAttribute('aria-label', state);
            return [state, number(count), {inside: meter, text: '', className: 'wide share'}];
        }));
    }

    function processRow(name, process) {
        const open = process.exchanges_open;
        return [name, text(process.state, process.state !== 'ready'), wide(duration(process.uptime_s)),
                number(process.restarts), open === undefined ? '' : number(open)];
    }

    function showStatus(status) {
        at('edge').textContent = 'boxedge ' + status.version + ' on ' + status.node + ', configuration ' +
            status.configuration + ' (load ' + status.configuration_generation + ')';
        const rows = [processRow('controller', status.controller)];
        if (status.runner) rows.push(processRow('runner', status.runner));
        for (const worker of status.workers) rows.push(processRow('worker ' + worker.worker, worker));
        fill('processes', rows);
    }

    function showTiles(is, now) {
        at('tile-requests').textContent = rate(is.requests);
        at('tile-failed').textContent = rate(is.failed5);
        at('tile-p95').textContent = seconds(is.p95);
        at('tile-open').textContent = number(is.open);
        at('tile-tunnels').textContent = number(is.tunnels);
        at('tile-waiters').textContent = number(sum(now, 'wake_waiters'));
    }

    // ---- what stands out ----

    function faults(now, before) {
        const found = [], each = name => now.families.get(name) || [];
        if (each('ready').some(one => !one.value))
            found.push('The edge is not ready: run boxedge status --ready for the reason.');
        for (const {labels, value} of each('worker_up'))
            if (!value) found.push('Worker ' + labels.worker + ' does not serve.');
        for (const {labels, value} of each('worker_full'))
            if (value) found.push('Worker ' + labels.worker + ' is full: new connections wait.');
        if (!sum(now, 'store_up')) found.push('The store cannot be read: see the edge\u2019s own log.');
        if (sum(now, 'store_damaged')) found.push('The store is damaged: run boxedge store check.');
        if (each('conf_last_reload_successful').some(one => !one.value))
            found.push('The last reload of the configuration failed: run boxedge reload for the reason.');
        for (const {labels, value} of [...each('certificate_expiry_timestamp_seconds'),
                                       ...each('listener_certificate_expiry_timestamp_seconds')]) {
            const days = Math.floor((value - Date.now() / 1000) / 86400);
            if (days < 14) found.push('The certificate of ' + (labels.name || labels.listener) +
                (days < 0 ? ' has expired.' : ' expires within ' + (days + 1) + ' days.'));
        }
        for (const {labels, value} of each('upstream_server_up'))
            if (!value) found.push('The server ' + labels.server + ' of ' + labels.upstream + ' is down.');
        if (perSecond(now, before, 'log_drops_total') > 0) found.push('The access log loses lines: its reader is slow.');
        return found;
    }

    function showFaults(found) {
        at('attention').hidden = found.length === 0;
        at('faults').replaceChildren(...found.map(sentence => element('li', '', sentence)));
    }

    // ---- the edge ----

    let samples = [], lostSince = null;

    // Changed texts only are read out.
    function say(state, sentence) {
        const live = at('live');
        live.dataset.state = state;
        if (live.textContent !== sentence) live.textContent = sentence;
        document.body.dataset.state = state;
    }

    async function get(path) {
        const answer = await fetch(path, {cache: 'no-store', signal: AbortSignal.timeout(WAIT_MS)});
        if (answer.ok) return answer;
        const error = new Error((await answer.json().catch(() => ({}))).error || 'status ' + answer.status);
        error.answered = true;
        throw error;
    }

    function take(families) {
        const now = {time: Date.now(), families}, before = samples[samples.length - 1];
        if (before && now.time <= before.time) samples = points = [];
        const is = figures(now, samples[samples.length - 1], samples[0]);
        samples = [...samples, now].slice(-LATENCY_SAMPLES);
        points = [...points, {time: now.time, is}].filter(point => now.time - point.time <= KEEP_MS);
        showTiles(is, now);
        showErrors(now, before);
        showLimits(now, before);
        showServers(now, before);
        showFaults(faults(now, before));
        draw();
    }

    // No figures for this time: lines have a gap.
    function lose(error) {
        if (lostSince === null) {
            lostSince = new Date();
            samples = [];
            if (points.length)
                points.push({time: Date.now(), is: Object.fromEntries(Object.keys(points[0].is).map(key => [key, null]))});
        }
        say('lost', 'No answer since ' + lostSince.toLocaleTimeString() + ': ' +
            (error.answered ? error.message : 'nothing serves this page any more') + '. This page tries again.');
    }

    async function look() {
        try {
            const [metrics, status, boxes] = await Promise.all(
                [get('/metrics').then(answer => answer.text()), get('/v1/status').then(answer => answer.json()),
                 get('/v1/boxes?count=state').then(answer => answer.json())]);
            take(parse(metrics));
            showStatus(status);
            showBoxes(boxes.states);
            lostSince = null;
            say('live', 'Live');
        } catch (error) {
            lose(error);
        }
        setTimeout(look, EVERY_MS);
    }

    // ---- recent requests ----

    function item(line) {
        const made = element('li'), facts = [];
        made.append(element('b', line.status >= 400 || line.status === 0 ? 'bad' : '', String(line.status)),
                    line.method + ' ' + line.host + line.path);
        facts.push(line.time, seconds(line.duration_ms / 1000), 'from ' + line.client);
        if (line.box) facts.push('box ' + line.box + ', port ' + line.port);
        if (line.key) facts.push('key ' + line.key);
        if (line.upstream) facts.push('upstream ' + line.upstream);
        if (line.reason) facts.push(line.reason + (line.detail ? ': ' + line.detail : ''));
        if (line.end !== 'complete') facts.push(line.end);
        facts.push('id ' + line.request_id);
        made.append(element('small', '', facts.join(' \u00b7 ')));
        return made;
    }

    async function search(find) {
        if (!/^[A-Za-z0-9.:_-]*$/.test(find)) return ['Only letters, digits and .:_- can be found.', []];
        const answer = await (await get('/v1/recent?limit=100&find=' + find)).json();
        const count = answer.lines.length;
        const found = count === 0 ? 'None of the ' + number(answer.kept) + ' recent requests matches.'
            : (count === 1 ? 'One request' : (count === 100 ? 'The newest ' : '') + count + ' requests') +
              ' of the ' + number(answer.kept) + ' that the edge remembers.';
        return [answer.note ? found + ' ' + answer.note + '.' : found, answer.lines];
    }

    let searches = 0;
    at('search').addEventListener('submit', async event => {
        const own = ++searches;
        event.preventDefault();
        let [sentence, lines] = ['', []];
        try {
            [sentence, lines] = await search(at('find').value.trim());
        } catch (error) {
            sentence = error.answered ? error.message : 'There was no answer.';
        }
        if (own !== searches) return;
        at('lines').replaceChildren(...lines.map(item));
        at('found').textContent = sentence;
    });

    charts.forEach(build);
    look();
})();

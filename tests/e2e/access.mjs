// Signs in to previews in headless Chromium: node access.mjs <plan as JSON>. Prints one JSON line.
// HOME holds the certificate store that trusts the edge's authority.
import {chromium} from 'playwright-core';

import {options} from './browser.mjs';

const plan = JSON.parse(process.argv[2]);
const browser = await chromium.launch(options(', MAP *.test 127.0.0.1'));
const seen = {problems: []};
const shot = (page, name) => page.screenshot({path: `${plan.shots}/${name}.png`, fullPage: true});

// A page whose errors are kept, except expected 401s and the focus that a frame does not get.
async function open(options = {}) {
  const context = await browser.newContext({viewport: {width: 900, height: 700}, ...options});
  const page = await context.newPage();
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && !/status of 40[13]|Blocked autofocusing/.test(m.text()) &&
      seen.problems.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => seen.problems.push(`page: ${e.message}`));
  return page;
}

// Sends the sign-in form of a page or frame; the status of the answer.
async function signIn(where, page, token) {
  await where.fill('#token', token);
  const [response] = await Promise.all([
    page.waitForResponse((r) => r.request().method() === 'POST' && r.url().includes('/sign-in')),
    where.click('form:has(#token) button'),
  ]);
  return response.status();
}

// The demo app's parts: events, a WebSocket, an upload by XHR.
async function useApp(where) {
  await where.waitForFunction(() => parseInt(document.getElementById('clock-count').textContent) >= 1);
  await where.waitForFunction(() => !document.getElementById('echo-send').disabled);
  await where.fill('#echo-text', 'signed in');
  await where.click('#echo-send');
  await where.waitForFunction(() => document.getElementById('echo-log').textContent.includes('\u2190 signed in'));
  await where.click('#upload-send');
  await where.waitForFunction(() => /SHA-256|failed|status/.test(document.getElementById('upload-result').textContent));
  return (await where.textContent('#upload-result')).includes('SHA-256');
}

const runs = {
  async signin() {
    const page = await open();
    const at = `${plan.bearer}/?a=1&b=%20`;
    seen.asked = (await page.goto(at)).status();
    await shot(page, 'signin');
    seen.names = await page.textContent('main');
    seen.focused = await page.evaluate(() => document.activeElement.id);
    seen.wrong = await signIn(page, page, 'not-the-token');
    await page.waitForSelector('[role=alert]');
    seen.why = await page.textContent('[role=alert]');
    await shot(page, 'signin-wrong');
    seen.right = await signIn(page, page, plan.token);
    await page.waitForURL(at);
    seen.works = await useApp(page);
    await shot(page, 'signed-in');
    seen.reloaded = (await page.reload()).status();
    seen.worksAgain = await useApp(page);
    seen.scripts = await page.evaluate(() => document.cookie);
    seen.cookie = (await page.context().cookies()).find((c) => c.name === '__Host-boxedge');
    delete seen.cookie.value;
    await page.goto(`${plan.bearer}/.well-known/boxedge/sign-out`);
    await shot(page, 'signout');
    await Promise.all([page.waitForURL(`${plan.bearer}/`), page.click('button')]);
    seen.after = await page.locator('#token').count();
    seen.cookies = (await page.context().cookies()).length;
  },
  // Only the browser knows the fragment: it stays after a wrong token, the right one, and a link.
  async fragment() {
    const page = await open();
    const at = `${plan.bearer}/?a=1#part/2`;
    await page.goto(at);
    seen.wrong = await signIn(page, page, 'not-the-token');
    await page.waitForSelector('[role=alert]');
    seen.right = await signIn(page, page, plan.token);
    await page.waitForFunction(() => document.getElementById('clock-count'));
    seen.form = page.url().replace(plan.bearer, '');
    const other = await open();
    await other.goto(`${plan.bearer}/?b=2&preview_token=${plan.token}#three`);
    seen.link = other.url().replace(plan.bearer, '');
    const none = await open();
    await none.goto(`${plan.bearer}/?c`);
    await signIn(none, none, plan.token);
    await none.waitForFunction(() => document.getElementById('clock-count'));
    seen.none = none.url().replace(plan.bearer, '');
  },
  async link() {
    const page = await open();
    const response = await page.goto(`${plan.bearer}/?x=1&preview_token=${plan.token}&y=2`);
    [seen.status, seen.url] = [response.status(), page.url()];
    seen.works = await useApp(page);
    await page.goto('about:blank');
    await page.goBack();
    seen.back = page.url();
  },
  async looks() {
    for (const [name, options] of Object.entries({
      phone: {viewport: {width: 360, height: 640}, isMobile: true, hasTouch: true, deviceScaleFactor: 2},
      dark: {colorScheme: 'dark'},
      phonedark: {viewport: {width: 360, height: 640}, isMobile: true, colorScheme: 'dark', deviceScaleFactor: 2},
    })) {
      const page = await open(options);
      await page.goto(`${plan.both}/`);
      await shot(page, `both-${name}`);
      seen[name] = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    }
  },
  async noscript() {
    const page = await open({javaScriptEnabled: false});
    await page.goto(`${plan.both}/`);
    await page.fill('#username', plan.user);
    await page.fill('#password', plan.password);
    const [response] = await Promise.all([
      page.waitForResponse((r) => r.request().method() === 'GET' && r.url() === `${plan.both}/`),
      page.click('form:has(#password) button'),
    ]);
    seen.status = response.status();
    seen.title = await page.title();
  },
  async basic() {
    const page = await open({httpCredentials: {username: plan.user, password: plan.password}});
    seen.status = (await page.goto(`${plan.basic}/`)).status();
    seen.works = await useApp(page);
    seen.session = (await page.context().cookies()).filter((c) => c.name === '__Host-boxedge').length;
  },
  async frame() {
    const page = await open();
    await page.goto(plan.framer);
    const frame = page.frame('one');
    await frame.waitForSelector('#token');
    await shot(page, 'frame');
    seen.wrong = await signIn(frame, page, 'not-the-token');
    await frame.waitForSelector('[role=alert]');
    seen.right = await signIn(frame, page, plan.token);
    await frame.waitForSelector('#echo-send');
    seen.works = await useApp(frame);
    await shot(page, 'frame-signed-in');
    await page.reload();
    await page.frame('one').waitForSelector('#echo-send');
    seen.worksAgain = await useApp(page.frame('one'));
    // The session belongs to the frame in that site alone.
    seen.outside = (await page.goto(`${plan.allowed}/`)).status();
  },
  async foreign() {
    const page = await open();
    await page.goto(plan.framerOfBearer);
    await page.frame('one').waitForSelector('main');
    await shot(page, 'frame-not-allowed');
    seen.forms = await page.frame('one').locator('form').count();
    const [tab] = await Promise.all([page.context().waitForEvent('page'), page.frame('one').click('a')]);
    await tab.waitForSelector('#token');
    seen.tab = tab.url();
  },
  // The page of another preview, in a browser that has a session here, sends every kind of request.
  async neighbour() {
    const page = await open();
    await page.goto(`${plan.bearer}/`);
    await signIn(page, page, plan.token);
    await page.waitForSelector('#echo-send');
    seen.problems.length = 0;
    const other = await page.context().newPage();
    await other.goto(plan.attacker);
    seen.tries = await other.evaluate(async (base) => {
      const tries = {};
      const read = async (name, options) => {
        try {
          const response = await fetch(`${base}/neighbour-${name}`, {credentials: 'include', ...options});
          tries[name] = `${response.type} ${response.status}`;
        } catch (error) {
          tries[name] = 'failed';
        }
      };
      await read('get', {});
      await read('nocors', {mode: 'no-cors'});
      await read('post', {method: 'POST', mode: 'no-cors', body: 'a=1'});
      tries.websocket = await new Promise((done) => {
        const ws = new WebSocket(base.replace('https', 'wss') + '/echo?neighbour-websocket');
        ws.onopen = () => done('open');
        ws.onerror = () => done('failed');
      });
      tries.image = await new Promise((done) => {
        const image = new Image();
        image.onload = () => done('loaded');
        image.onerror = () => done('failed');
        image.src = `${base}/neighbour-image`;
      });
      return tries;
    }, plan.bearer);
    seen.signout = await other.evaluate(async (base) => {
      await fetch(`${base}/.well-known/boxedge/sign-out`, {method: 'POST', mode: 'no-cors', credentials: 'include'});
      return true;
    }, plan.bearer);
    seen.still = (await page.reload()).status();
  },
};

// Opens a link that opens once by its button, on a small screen; then a link for reading, as the owner.
runs.once = async () => {
  const page = await open({viewport: {width: 390, height: 844}, deviceScaleFactor: 2, isMobile: true});
  seen.asked = (await page.goto(plan.once)).status();
  seen.text = await page.textContent('main');
  seen.wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  await shot(page, 'link-phone');
  await page.click('button');
  await page.waitForURL(`${plan.bearer}/?once`);
  seen.works = await useApp(page);
  seen.referrer = await page.evaluate(() => document.referrer);
  seen.cookies = (await page.context().cookies()).map((c) => c.name).sort();
  seen.scripts = await page.evaluate(() => document.cookie);
  seen.again = (await page.goto(plan.once)).url();
  const other = await open();
  seen.second = (await other.goto(plan.once)).status();
  seen.used = await other.textContent('h1');
  await shot(other, 'link-used');
  await other.goto(plan.fresh);
  await shot(other, 'link-desktop');
  const owner = await open();
  await owner.goto(`${plan.bearer}/?preview_token=${plan.token}`);
  await owner.goto(plan.reading);
  seen.owner = await useApp(owner);
  seen.owned = (await owner.context().cookies()).map((c) => c.name);
  const reader = await open();
  seen.read = (await reader.goto(plan.reading)).status();
  seen.written = await reader.evaluate(() => fetch('/upload', {method: 'POST', body: 'x'}).then((r) => r.status));
  seen.socket = await reader.evaluate(() => new Promise((done) => {
    const ws = new WebSocket(`wss://${location.host}/echo`);
    ws.onopen = () => done('open');
    ws.onerror = () => done('refused');
  }));
  seen.problems = seen.problems.filter((p) => !/status of 40[45]|WebSocket connection to/.test(p));
};

try {
  await runs[plan.run]();
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

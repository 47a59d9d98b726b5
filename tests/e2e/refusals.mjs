// Asks from pages of other origins, with credentials: node refusals.mjs <plan as JSON>. Prints one JSON line.
// HOME holds the certificate store that trusts the edge's authority.
import {chromium} from 'playwright-core';

import {options} from './browser.mjs';

const plan = JSON.parse(process.argv[2]);
const browser = await chromium.launch(options(', MAP *.test 127.0.0.1'));

// The result of each request for a page's script.
async function read(requests) {
  const seen = {};
  for (const [name, url, more] of requests) {
    try {
      const response = await fetch(url, {credentials: 'include', ...more});
      const body = await response.text();
      const field = (name) => response.headers.get(name) !== null;
      seen[name] = {status: response.status, code: body.startsWith('{') ? JSON.parse(body).code : body,
        retry: field('retry-after'), limit: field('ratelimit'), id: field('x-request-id')};
    } catch {
      seen[name] = null;
    }
  }
  return seen;
}

const seen = {};
try {
  for (const [name, url] of Object.entries(plan.pages)) {
    const page = await (await browser.newContext()).newPage();
    await page.goto(url);
    seen[name] = await page.evaluate(read, plan.requests);
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

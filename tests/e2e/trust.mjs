// Opens a page in headless Chromium, whose HOME decides on trust: node trust.mjs <url> <profile>. Prints one JSON line.
import {chromium} from 'playwright-core';

import {options} from './browser.mjs';

const [url, profile] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, options());
try {
  const page = await context.newPage();
  const response = await page.goto(url).catch((error) => error.message);
  console.log(JSON.stringify(typeof response === 'string' ? {error: response}
    : {status: response.status(), title: await page.title(), text: await page.textContent('body'), url: page.url()}));
} finally {
  await context.close();
}

// Node clients for test_node.py: node client.mjs <what> <host> <port>, with the authority in NODE_EXTRA_CA_CERTS.
// Prints one JSON line. Names are resolved to 127.0.0.1 here, whatever the system's resolver answers.
import dns from 'node:dns';
import crypto from 'node:crypto';
import WebSocket from 'ws';

dns.lookup = (name, options, callback) => {
  if (typeof options === 'function') [options, callback] = [{}, options];
  const one = {address: '127.0.0.1', family: 4};
  process.nextTick(() => (options.all ? callback(null, [one]) : callback(null, one.address, one.family)));
};

const [what, host, port] = process.argv.slice(2);
const base = `https://${host}:${port}`;
const sha = (data) => crypto.createHash('sha256').update(data).digest('hex');

async function fetches() {
  const echo = await (await fetch(`${base}/echo?x=1`, {headers: {'x-mine': '1'}})).json();
  const body = crypto.randomBytes(2_000_000);
  const posted = await (await fetch(`${base}/echo`, {method: 'POST', body})).json();
  const stream = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 20; i++) controller.enqueue(new Uint8Array(50_000));
      controller.close();
    },
  });
  const streamed = await (await fetch(`${base}/echo`, {method: 'PUT', body: stream, duplex: 'half'})).json();
  const large = Buffer.from(await (await fetch(`${base}/bytes?n=3000000&chunked=1`)).arrayBuffer());
  const events = [];
  for await (const piece of (await fetch(`${base}/sse?n=5`)).body) events.push(Buffer.from(piece).toString());
  const many = await Promise.all(
      Array.from({length: 50}, async (_, i) => (await (await fetch(`${base}/echo?i=${i}`)).json()).target));
  return {
    target: echo.target, mine: echo.fields.find(([k]) => k.toLowerCase() === 'x-mine')[1],
    posted: posted.body_sha256 === sha(body), streamed: streamed.body_bytes, large: sha(large),
    events: events.join('').match(/data: /g).length, many,
  };
}

async function aborts() {
  const controller = new AbortController();
  const response = await fetch(`${base}/bytes?n=500000000`, {signal: controller.signal});
  const reader = response.body.getReader();
  await reader.read();
  controller.abort();
  return {aborted: true};
}

async function sockets() {
  const ws = new WebSocket(`wss://${host}:${port}/ws`, {headers: {'x-mine': '1'}});
  const received = [];
  await new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
  const sent = [Buffer.from('hello'), crypto.randomBytes(100_000), crypto.randomBytes(3_000_000)];
  const all = new Promise((resolve) => ws.on('message', (data) => {
    received.push(data);
    if (received.length === sent.length) resolve();
  }));
  for (const message of sent) ws.send(message);
  await all;
  const pong = new Promise((resolve) => ws.on('pong', (data) => resolve(data.toString())));
  ws.ping('there?');
  const answer = await pong;
  const closed = new Promise((resolve) => ws.on('close', (code, reason) => resolve([code, reason.toString()])));
  ws.close(4002, 'enough');
  return {equal: received.every((data, i) => data.equals(sent[i])), pong: answer, closed: await closed};
}

async function refused() {
  const ws = new WebSocket(`wss://${host}:${port}/ws`);
  return new Promise((resolve) => ws.on('unexpected-response', (_, response) => resolve({status: response.statusCode}))
      .on('error', (error) => resolve({error: error.message})));
}

const run = {fetches, aborts, sockets, refused}[what];
console.log(JSON.stringify(await run()));
process.exit(0);

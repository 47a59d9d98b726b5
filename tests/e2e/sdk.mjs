// The npm package @upstash/box, unmodified, against UPSTASH_BOX_BASE_URL with UPSTASH_BOX_API_KEY, for test_sdk_node.py:
// node sdk.mjs <a file to upload>, in a separate directory. Prints a JSON line per section: {"section", "seen"} or
// {"section", "failed"}. sdk_client.py sees the same with the other package; sdk_sections.py judges both.
import {webcrypto} from 'node:crypto';
import dns from 'node:dns';
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

// The package needs an object that Node has had since version 20.
globalThis.crypto ??= webcrypto;
const {Box, BoxError, EphemeralBox} = await import('@upstash/box');

// Names are resolved to 127.0.0.1 here, whatever the system's resolver answers.
dns.lookup = (name, options, callback) => {
  if (typeof options === 'function') [options, callback] = [{}, options];
  const one = {address: '127.0.0.1', family: 4};
  process.nextTick(() => (options.all ? callback(null, [one]) : callback(null, one.address, one.family)));
};

const large = process.argv[2];

async function refusal(call) {
  try {
    await call;
  } catch (error) {
    if (error instanceof BoxError) return [error.statusCode, error.message];
    throw error;
  }
  return null;
}

const sections = {
  async lifecycle(box) {
    const again = await Box.get(box.id);
    const listed = (await Box.list()).map((one) => one.id);
    const second = await Box.create({name: 'second', env: {GREETING: 'hello'}});
    const greeting = (await second.exec.command('echo $GREETING')).result;
    const named = (await Box.getByName('second')).id === second.id;
    await second.delete();
    return {
      same: again.id === box.id, listed: listed.includes(box.id), status: (await box.getStatus()).status, greeting, named,
      gone: await refusal(Box.get(second.id)), id: second.id,
    };
  },

  async exec(box) {
    const good = await box.exec.command('echo out; echo err >&2');
    const bad = await box.exec.command('echo no >&2; exit 3');
    await box.exec.command('mkdir -p sub/folder');
    await box.cd('sub/folder');
    const where = (await box.exec.command('basename "$PWD"')).result;
    await box.cd('/workspace/home');
    return {
      good: [good.exitCode, good.stdout, good.stderr, good.status],
      bad: [bad.exitCode, bad.stdout, bad.stderr, bad.status], where,
    };
  },

  // Each line is printed only after the one before arrived here.
  async stream(box) {
    const command = 'for i in 1 2 3 4; do echo "$i $(date +%s%3N)"; n=0; ' +
        'while [ ! -e heard$i ]; do n=$((n+1)); [ $n -lt 400 ] || exit 9; sleep 0.02; done; done; exit 4';
    const run = await box.exec.stream(command);
    const chunks = [];
    let exit = null;
    for await (const chunk of run) {
      if (chunk.type === 'exit') {
        exit = chunk.exitCode;
        continue;
      }
      chunks.push([chunk.data, Date.now()]);
      await box.files.write({path: `heard${chunk.data.split(' ')[0]}`, content: ''});
    }
    return {chunks, exit, status: run.status};
  },

  async code(box) {
    const js = await box.exec.code({code: 'console.log(6 * 7)', lang: 'js'});
    const python = await box.exec.code({code: 'print(6 * 7)', lang: 'python'});
    return {js: js.result, python: python.result};
  },

  async files(box) {
    await box.files.write({path: 'notes/a.txt', content: 'ünï\n'});
    await box.files.write({path: '/workspace/home/notes/b.bin', content: Buffer.from([0, 255, 10]).toString('base64'),
                           encoding: 'base64'});
    const listed = (await box.files.list('notes')).map((one) => [one.name, one.path, one.size, one.is_dir]);
    return {
      listed, text: await box.files.read('notes/a.txt'), binary: await box.files.read('notes/b.bin', {encoding: 'base64'}),
      counted: (await box.exec.command('wc -c < /workspace/home/notes/b.bin')).result.trim(),
    };
  },

  async large(box) {
    await box.files.upload([{path: large, destination: 'large/data'}, {path: fileURLToPath(import.meta.url), destination: 'large/me'}]);
    const sum = (await box.exec.command('sha256sum < large/data')).result.split(' ')[0];
    await box.files.download({folder: 'large'});
    return {sum, downloaded: path.resolve('large/data'), bytes: fs.statSync('large/data').size};
  },

  async pause(box) {
    const pid = (await box.exec.command('sleep 600 >/dev/null 2>&1 & echo $!')).result.trim();
    const state = () => fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1][0];
    await box.pause();
    const paused = [(await box.getStatus()).status, state()];
    const refused = await refusal(box.exec.command('true'));
    await box.resume();
    return {paused, refused, resumed: [(await box.getStatus()).status, state()], id: box.id};
  },

  async errors(box) {
    return {
      key: await refusal(Box.list({apiKey: 'wrong'})),
      box: await refusal(Box.get('no-such-box')),
      file: await refusal(box.files.read('nothing.txt')),
      path: await refusal(box.files.write({path: '../x', content: ''})),
    };
  },

  async snapshot(box) {
    await box.files.write({path: 'kept.txt', content: 'kept'});
    const snapshot = await box.snapshot({name: 'one'});
    const copy = await Box.fromSnapshot(snapshot.id);
    const kept = await copy.files.read('kept.txt');
    await copy.delete();
    await box.deleteSnapshot(snapshot.id);
    return {kept, left: (await box.listSnapshots()).length};
  },

  async ephemeral() {
    const box = await EphemeralBox.create({ttl: 60});
    const seen = (await box.exec.command('echo short')).result;
    await box.delete();
    return {seen, seconds: box.expiresAt - Date.now() / 1000};
  },

  async previews(box) {
    const ports = {3000: {}, 3001: {bearerToken: true}, 3002: {basicAuth: true}, 3003: {bearerToken: true, basicAuth: true}};
    const made = [];
    for (const [port, options] of Object.entries(ports)) made.push(await box.getPublicURL(Number(port), options));
    const again = await box.getPublicURL(3001, {bearerToken: true});
    const listed = (await box.listPublicURLs()).publicURLs;
    await box.deletePublicURL(3000);
    const name = `named-${process.pid}`;
    const others = [await Box.create(), await Box.create({name})];
    for (const other of others) await other.getPublicURL(3000);
    await Box.delete({boxIds: []});
    await Box.delete({boxIds: [others[0].id, name]});
    return {
      deleted: others.map((other) => other.id),
      made: made.map((one) => [one.port, one.url, Object.keys(one).sort().join(' ')]), id: box.id,
      replaced: again.token !== made[1].token, secrets: JSON.stringify(listed).includes(again.token),
      listed: listed.map((one) => [one.id, one.port, one.url, one.bearer_token, one.basic_auth]),
      left: (await box.listPublicURLs()).publicURLs.map((one) => one.port),
      gone: await refusal(box.deletePublicURL(3000)), bad: await refusal(box.getPublicURL(0)),
    };
  },
};

// Without a gateway in front of the API, nothing answers about previews.
if (!process.env.SDK_PREVIEWS) delete sections.previews;
const box = await Box.create();
for (const [section, run] of Object.entries(sections)) {
  try {
    console.log(JSON.stringify({section, seen: await run(box)}));
  } catch (error) {
    console.log(JSON.stringify({section, failed: String(error.stack)}));
  }
}
await box.delete();

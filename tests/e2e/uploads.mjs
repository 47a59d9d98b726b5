// Uploads by Node for test_refused_uploads.py: node uploads.mjs <what> <host> <port> <file>, with the authority in
// NODE_EXTRA_CA_CERTS. Prints the status as one JSON line. Names are resolved to 127.0.0.1 here.
import dns from 'node:dns';
import fs from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';

dns.lookup = (name, options, callback) => {
  if (typeof options === 'function') [options, callback] = [{}, options];
  const one = {address: '127.0.0.1', family: 4};
  process.nextTick(() => (options.all ? callback(null, [one]) : callback(null, one.address, one.family)));
};

const [what, host, port, file] = process.argv.slice(2);
const size = fs.statSync(file).size;

// The status is enough only once the upload has ended or was abandoned without an error before it.
function byHttps() {
  return new Promise((resolve, reject) => {
    const request = https.request({host, port, method: 'POST', headers: {'content-length': size}}, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    request.on('error', reject);
    fs.createReadStream(file).pipe(request);
  });
}

async function byFetch() {
  return (await fetch(`https://${host}:${port}/`, {method: 'POST', body: fs.readFileSync(file)})).status;
}

function byHttp2() {
  return new Promise((resolve, reject) => {
    const session = http2.connect(`https://${host}:${port}`).on('error', reject);
    const request = session.request({':method': 'POST', 'content-length': size});
    let status;
    request.on('response', (fields) => (status = fields[':status'])).on('error', reject);
    request.on('close', () => (request.rstCode ? reject(new Error(`reset ${request.rstCode}`)) : resolve(status)));
    request.resume();
    fs.createReadStream(file).pipe(request);
  });
}

const status = await {https: byHttps, fetch: byFetch, http2: byHttp2}[what]();
console.log(JSON.stringify({status}));
process.exit(0);

// Runs the public HTTP cache suite against the built server, once in each role that has a cache, and compares what
// does not pass with `expected.txt`: `node tests/cache_suite/run.mjs SUITE SERVER`, where SUITE is the folder of the
// npm package `http-cache-tests` and SERVER the program `edge_server`.
//
// Fails for a test that should pass and does not, and for one that passes and should not. Tests of the kind `check` have
// no right answer. A test that depends on one that did not pass has not passed (the suite's own rule).
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const [suite, server] = process.argv.slice(2).map(path => resolve(path))
const ROLES = ['cache', 'both']
const started = []

const tests = await known()
const expected = expectations()
try {
  const runs = await Promise.all(ROLES.map(run))
  process.exitCode = runs.every(ok => ok) ? 0 : 1
} finally {
  started.forEach(child => child.kill())
}

// All tests of a shared cache, by id.
async function known () {
  const load = async name => (await import(pathToFileURL(`${suite}/tests/${name}.mjs`))).default
  const suites = [...await load('index'), await load('surrogate-control')]
  const all = suites.flatMap(suite => suite.tests).filter(test => !test.browser_only)
  return new Map(all.map(test => [test.id, test]))
}

// `# why` and, below it, the ids that this is true of.
function expectations () {
  const reasons = new Map()
  let reason
  for (const line of readFileSync(join(here, 'expected.txt'), 'utf8').split('\n')) {
    if (line.startsWith('# ')) {
      reason = line.slice(2)
    } else if (line !== '') {
      if (!tests.has(line)) throw new Error(`expected.txt: the suite has no test ${line}`)
      if (tests.get(line).kind === 'check') throw new Error(`expected.txt: ${line} has no right answer`)
      if (reasons.has(line)) throw new Error(`expected.txt: ${line} stands there twice`)
      reasons.set(line, reason)
    }
  }
  return reasons
}

async function run (role) {
  const origin = await start('node', [join(here, 'origin.mjs'), suite], /^Listening on http:\/\/([^/]+)/, {
    npm_config_protocol: 'http',
    npm_config_port: '0',
    npm_config_pidfile: '/dev/null'
  })
  const edge = await start(
    server,
    ['--role', role, '--log', 'error', '--listen', '127.0.0.1:0', '--control', '127.0.0.1:0', '--origin', `http://${origin}`],
    /^listening on http:\/\/(\S+)$/
  )
  return compare(role, await results(edge))
}

// Starts a program and waits until it says where it listens.
function start (program, args, says, env = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  started.push(child)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', code => reject(new Error(`${program} ended with ${code}`)))
    createInterface(child.stdout).on('line', line => {
      const address = line.match(says)
      if (address) resolve(address[1])
    })
  })
}

// What the suite's client says of an edge: id to true, or to the kind of the failure and what it was.
function results (edge) {
  const child = spawn('node', ['--no-warnings', 'cli.mjs'], {
    cwd: suite,
    env: { ...process.env, npm_config_base: `http://${edge}`, npm_config_id: '', npm_package_config_id: '' },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  started.push(child)
  return new Promise((resolve, reject) => {
    let output = ''
    child.stdout.on('data', data => { output += data })
    child.on('error', reject)
    child.on('close', () => {
      try {
        resolve(JSON.parse(output))
      } catch {
        reject(new Error(`the suite's client says:\n${output}`))
      }
    })
  })
}

function compare (role, results) {
  const hasPassed = id => results[id] === true && (tests.get(id).depends_on ?? []).every(hasPassed)
  const score = { required: [0, 0], optimal: [0, 0], check: [0, 0] }
  const wrong = []
  for (const [id, { kind = 'required' }] of tests) {
    const passed = hasPassed(id)
    score[kind][0] += passed ? 1 : 0
    score[kind][1] += 1
    if (kind === 'check' || passed !== expected.has(id)) continue
    wrong.push(passed
      ? `${id} passes, and was expected not to: ${expected.get(id)}`
      : `${id} (${kind}) does not pass: ${results[id] === true ? 'what it depends on does not' : results[id]?.[1]}`)
  }
  const scores = Object.entries(score).map(([kind, [passed, all]]) => `${kind} ${passed} of ${all}`)
  console.log([`--role ${role}: ${scores.join(', ')}`, ...wrong].join('\n  '))
  return wrong.length === 0
}

// The suite's origin, on loopback alone and on any free port: it would listen on all addresses. `node origin.mjs SUITE`.
import net from 'node:net'
import { pathToFileURL } from 'node:url'

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function () {
  return listen.call(this, { host: '127.0.0.1', port: 0 })
}
await import(pathToFileURL(`${process.argv[2]}/server/server.mjs`))

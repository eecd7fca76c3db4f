// Runs dynalite's command line. A client that hangs up in the middle of a request, which the tests of
// faults do on purpose, is an error event that dynalite throws; here it ends that request alone.
process.on('uncaughtException', err => {
  if (err.code === 'ECONNRESET' || err.code === 'EPIPE') return
  console.error(err)
  process.exit(1)
})
require('dynalite/cli.js')

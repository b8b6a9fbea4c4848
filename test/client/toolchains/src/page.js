import { chat } from './chat.js'

const given = new URLSearchParams(location.hash.slice(1))
document.body.append(await chat(given.get('url'), given.get('token')))

import t from 'tap'
import { sequences } from '../support/sequence-modes.js'

sequences(t, { connections: 100, isWatched: true })

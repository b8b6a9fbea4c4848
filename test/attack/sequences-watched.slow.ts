import t from 'tap'
import { sequences } from '../support/sequence-modes.js'

sequences(t, { seconds: 10, isWatched: true })

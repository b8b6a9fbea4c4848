import { randomUUID } from 'node:crypto'
import {
  BadRequestException,
  Body,
  Controller,
  Header,
  HttpCode,
  Post,
  Req,
  Session,
  UnauthorizedException,
} from '@nestjs/common'
import type { Request } from 'express'
import type { Session as ExpressSession } from 'express-session'
import { GateService, type Login, type Ticket } from './gate.service.js'

export const sessionSeconds = 3600

type OurSession = ExpressSession & { login?: Login }

/** A new login gets a new session id, to prevent session fixation. */
const renewed = (request: Request): Promise<OurSession> =>
  new Promise((resolve, reject) =>
    request.session.regenerate(error => (error ? reject(error) : resolve(request.session))),
  )

@Controller()
export class SessionController {
  readonly #gate: GateService

  constructor(gate: GateService) {
    this.#gate = gate
  }

  /** Here you check a password. */
  @Post('login')
  @HttpCode(204)
  async logIn(@Body() body: { user?: unknown }, @Req() request: Request): Promise<void> {
    const { user } = body
    if (typeof user !== 'string' || !/^\w{1,64}$/.test(user)) throw new BadRequestException()
    const session = await renewed(request)
    session.login = { user, session: randomUUID(), expires: Math.floor(Date.now() / 1000) + sessionSeconds }
  }

  @Post('ticket')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  ticket(@Session() session: OurSession): Promise<Ticket> {
    if (session.login === undefined) throw new UnauthorizedException()
    return this.#gate.issueTicket(session.login, 'lobby')
  }

  @Post('logout')
  @HttpCode(204)
  async logOut(@Session() session: OurSession): Promise<void> {
    const { login } = session
    await new Promise(resolve => session.destroy(resolve))
    if (login !== undefined) await this.#gate.endSession(login.session)
  }
}

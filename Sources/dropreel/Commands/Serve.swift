import ArgumentParser
import Foundation
import WatchFolder

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch the inbox and make a film of every drop, until stopped.",
        discussion: """
            SIGTERM stops in order: running films may finish within jobs.stop_timeout, the rest goes back to the queue. \
            A restart goes on where it stood. Rule files are read live; etc/dropreel.toml is read at the start.
            """)

    @OptionGroup var option: ConfigurationOption

    func run() throws {
        signal(SIGHUP, SIG_IGN)
        let host = try ServiceHost(option)
        let stop = StopSignals(wake: host.service.waker)
        let systemd = SystemdNotifier()
        systemd.ready()
        var lastSign = Date.distantPast
        var saidStopping = false
        do {
            try host.service.run(
                stopTimeout: host.configuration.jobs.stopTimeout,
                onTick: {
                    if stop.isAsked, !saidStopping {
                        systemd.stopping()
                        saidStopping = true
                    }
                    guard let interval = systemd.keepAliveInterval, Date().timeIntervalSince(lastSign) >= interval / 2
                    else { return }
                    systemd.alive()
                    lastSign = Date()
                }, shouldStop: { stop.isAsked })
        } catch {
            let known = ServiceError.wrapping(error)
            throw fail(.inputOutput, known.message, hint: known.hint)
        }
    }
}

/// The shortest of up to three measurements, no more than it takes to get below a limit: a host that stands still for a
/// second on its own account does so once, a service that is too slow every time.
///
/// - Parameters:
///   - limit: seconds that are quick enough.
///   - measure: gets the number of the try, from 0, and returns seconds.
public func shortest(below limit: Double, _ measure: (Int) throws -> Double) rethrows -> Double {
    var best = try measure(0)
    for attempt in 1..<3 where best > limit { best = min(best, try measure(attempt)) }
    return best
}

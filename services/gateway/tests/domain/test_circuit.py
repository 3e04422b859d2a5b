from gateway.domain.circuit import Circuit, CircuitPolicy, after_connect_failure

POLICY = CircuitPolicy(max_failures=3, pause_s=2.0)


def test_failures_in_a_row_open_the_circuit():
    circuit = Circuit()
    pauses = []
    for at_s in (10.0, 11.0, 12.0):
        circuit = after_connect_failure(circuit, at_s, POLICY)
        pauses.append(circuit.pause_left_s(at_s))
    assert pauses == [0.0, 0.0, 2.0]
    assert circuit.pause_left_s(13.5) == 0.5
    assert circuit.pause_left_s(14.0) == 0.0


def test_one_more_failure_after_the_pause_opens_the_circuit_again():
    circuit = Circuit(3, 14.0)
    assert after_connect_failure(circuit, 20.0, POLICY).pause_left_s(20.0) == 2.0

from kit.circuit import Circuit


def opened():
    circuit = Circuit(failures_to_open=3, pause_s=10.0)
    for _ in range(3):
        circuit.failed(now_s=100.0)
    return circuit


def test_failures_in_a_row_open_the_circuit():
    circuit = Circuit(failures_to_open=3, pause_s=10.0)
    for _ in range(2):
        circuit.failed(now_s=100.0)
    assert circuit.may_call(100.0)
    circuit.failed(now_s=100.0)
    assert not circuit.may_call(109.9)


def test_a_success_between_failures_starts_the_count_again():
    circuit = Circuit(failures_to_open=3, pause_s=10.0)
    for _ in range(2):
        circuit.failed(now_s=100.0)
        circuit.succeeded()
        circuit.failed(now_s=100.0)
    assert circuit.may_call(100.0)


def test_after_the_pause_one_call_is_made_on_trial():
    circuit = opened()
    assert [circuit.may_call(110.0), circuit.may_call(110.0)] == [True, False]
    circuit.failed(now_s=111.0)
    assert [circuit.may_call(120.9), circuit.may_call(121.0)] == [False, True]


def test_a_successful_trial_closes_the_circuit():
    circuit = opened()
    assert circuit.may_call(110.0)
    circuit.succeeded()
    assert [circuit.may_call(110.0), circuit.may_call(110.0)] == [True, True]


def test_setting_the_clock_back_ends_a_pause():
    circuit = Circuit(failures_to_open=1, pause_s=10.0)
    circuit.failed(1_000_000.0)
    assert not circuit.may_call(1_000_001.0)
    assert circuit.may_call(5.0)
    assert not circuit.may_call(6.0)
